"""What the agent sees: a still of each task that has images, out of the newest checkpoint."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from polytask.report.data import Run

SIDE = 168  # pixels, about


def stills(runs: Sequence[Run]) -> dict[str, str]:
    """An image for the page of each task that shows one, by name; of the first run that has it."""
    found: dict[str, str] = {}
    for run in runs:
        if any(_has_image(spec.get("observation")) for spec in run.config.get("specs", [])):
            found = {**_of_run(run), **found}
    return found


def _has_image(space: Any) -> bool:
    """Whether a space as config.json has it holds an image."""
    if not isinstance(space, Mapping):
        return False
    return "height" in space or any(_has_image(part) for _, part in space.get("parts", ()))


def _of_run(run: Run) -> dict[str, str]:
    from polytask.runs import checkpoint, storage
    from polytask.tasks.picture import picture
    from polytask.tasks.spec import TaskSet, spec_from

    try:
        newest = checkpoint.latest(run.path, lambda text: None, replay=False)
    except checkpoint.CheckpointError:
        return {}
    if newest is None:
        return {}
    tasks, found = TaskSet(tuple(map(spec_from, run.config["specs"]))), {}
    for row, (name, own) in enumerate(zip(tasks.names, tasks.placed_images, strict=True)):
        for place, image in own[:1]:
            array = storage.read_array(newest.path / checkpoint.ARRAYS, f"observations/images/{place}")
            if array is not None:
                found[name] = _html(picture(image, array[row, ..., : image.shape[2]], SIDE), name)
    return found


def _html(pixels: Any, task: str) -> str:
    return png(pixels, f"What the agent sees of {task}", "still")


def png(pixels: Any, alt: str, kind: str) -> str:
    """An image for the page; `kind` is its CSS class."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, pixels, format="png")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img class="{kind}" src="data:image/png;base64,{data}" alt="{escape(alt)}">'
