"""Which of MuJoCo's ways to render without a screen works here."""

import os
import subprocess
import sys

_PROBE = "import mujoco; context = mujoco.GLContext(64, 64); context.make_current(); context.free()"


def working() -> str | None:
    """The first of MuJoCo's ways to render that works; tried in another process, since a missing library may crash."""
    own = os.environ.get("MUJOCO_GL")
    for name in [own] if own else ["egl", "osmesa"]:
        environment = {**os.environ, "MUJOCO_GL": name, "PYOPENGL_PLATFORM": name}
        tried = subprocess.run([sys.executable, "-c", _PROBE], env=environment, capture_output=True, timeout=60)
        if tried.returncode == 0:
            return name
    return None


def missing() -> str:
    """What to do where none works."""
    own = os.environ.get("MUJOCO_GL")
    if own:
        return f"MuJoCo cannot render with MUJOCO_GL={own}; unset it to have egl and osmesa tried"
    return (
        "MuJoCo cannot render here, since neither EGL nor OSMesa works. On Debian and Ubuntu: "
        "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri (or libosmesa6)"
    )
