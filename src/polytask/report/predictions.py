"""What a run makes of images: test images, their labels and its predictions, out of the newest checkpoint."""

from html import escape

from polytask.report import html
from polytask.report.material import Material
from polytask.report.stills import png


def predictions(material: Material) -> str:
    """The section of runs whose tasks are those of pixels; nothing where there is none."""
    run = material.methods[0].runs[0]
    if all(spec.counted != "image" for spec in run.specs):
        return ""
    from polytask.runs import checkpoint, storage

    try:
        newest = checkpoint.latest(run.path, lambda text: None, replay=False)
    except checkpoint.CheckpointError:
        return ""
    found = None if newest is None else storage.read_array(newest.path / checkpoint.ARRAYS, "pictures")
    if found is None:
        return ""
    names = [str(spec["name"]) for spec in run.config["specs"]]
    parts = []
    for number, tiles in enumerate(found, 1):
        image = png(tiles[0], f"Test image {number}", "tile")
        labels = [png(tile, f"Label of {name}", "tile") for name, tile in zip(names, tiles[1::2], strict=True)]
        given = [png(tile, f"Prediction of {name}", "tile") for name, tile in zip(names, tiles[2::2], strict=True)]
        head = ["", "image", *map(escape, names)]
        rows = [["label", image, *labels], ["prediction", "", *given]]
        parts.append(html.table(head, rows, [""] * len(head)))
    caption = (
        f"Test images of {run.name}, by the parameters that were best on the validation images. Depths go from black "
        "to white over the range of the labels; normals have a colour for each direction."
    )
    return html.section("predictions", "Predictions", *parts, html.paragraph(caption))
