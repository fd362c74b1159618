"""A display in a notebook that is drawn again in its place; it takes IPython alone, which every notebook has."""

import io
from typing import Any

from rich.console import Console, RenderableType

WIDTH = 100  # characters
_FRAME = '<pre style="font-family:monospace;line-height:normal;white-space:pre">{code}</pre>'


class NotebookDisplay:
    """Shows a renderable below the cell; `refresh` draws it as it is now."""

    def __init__(self, shown: RenderableType) -> None:
        self._shown = shown
        self._handle: Any = None

    def refresh(self) -> None:
        """Draws it, the first time as a new output."""
        from IPython.display import HTML, display  # pyright: ignore[reportMissingModuleSource]

        content = HTML(self._html())
        if self._handle is None:
            self._handle = display(content, display_id=True)
        else:
            self._handle.update(content)

    def _html(self) -> str:
        console = Console(file=io.StringIO(), record=True, width=WIDTH, force_jupyter=False, force_terminal=True)
        console.print(self._shown)
        return console.export_html(inline_styles=True, code_format=_FRAME)
