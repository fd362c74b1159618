"""Which of MuJoCo's ways to render without a screen works here."""

import functools
import os
import subprocess
import sys

_PROBE = "import mujoco; context = mujoco.GLContext(64, 64); context.make_current(); context.free()"


def working() -> str | None:
    """The first of MuJoCo's ways to render that works."""
    own = os.environ.get("MUJOCO_GL")
    return next((name for name in ([own] if own else ["egl", "osmesa"]) if _works(name, _PROBE)), None)


def choose() -> None:
    """Sets MUJOCO_GL to a way that works, on Linux; elsewhere MuJoCo needs no help.

    Raises RuntimeError, saying what to install, where none works.
    """
    if sys.platform != "linux":
        return
    way = working()
    if way is None:
        raise RuntimeError(missing())
    os.environ["MUJOCO_GL"] = way


def missing() -> str:
    """What to do where none works."""
    own = os.environ.get("MUJOCO_GL")
    if own:
        return f"MuJoCo cannot render with MUJOCO_GL={own}; unset it to have egl and osmesa tried"
    return (
        "MuJoCo cannot render here, since neither EGL nor OSMesa works. On Debian and Ubuntu: "
        "apt-get install libosmesa6 (or libegl1 libegl-mesa0 libgl1-mesa-dri)"
    )


@functools.cache
def _works(name: str, probe: str) -> bool:
    """Tried in another process, since a missing library may crash."""
    environment = {**os.environ, "MUJOCO_GL": name, "PYOPENGL_PLATFORM": name}
    return (
        subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, timeout=60).returncode == 0
    )
