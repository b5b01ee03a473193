"""Pictures as files of HTML."""

from html import escape
from pathlib import Path
from typing import Any

from search_spaces import NasError
from trials.files import write_atomically


def write_figure(figure: Any, path: Path) -> None:
    """A picture as one .html file that needs no network; names in it are shown as they are."""
    if path.suffix != ".html":
        raise NasError(f"--draw must name an .html file, but is {path}; a browser can save it as a picture")
    shown = type(figure)(_plain(figure.to_dict()))
    write_atomically({path: shown.to_html(include_plotlyjs=True, full_html=True).encode()})


def _plain(part: Any) -> Any:
    """Plotly reads links, sizes and the like in its texts as HTML; ours have none, so what looks so is a name."""
    if isinstance(part, dict):
        return {key: _plain(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_plain(value) for value in part]
    return escape(part, quote=False) if isinstance(part, str) else part
