"""Pictures as files of HTML."""

from pathlib import Path
from typing import Any

from dashboards.look import plain_text
from search_spaces import NasError
from trials.files import write_atomically


def write_figure(figure: Any, path: Path) -> None:
    """A picture as one .html file that needs no network; names in it are shown as they are."""
    if path.suffix != ".html":
        raise NasError(f"--draw must name an .html file, but is {path}; a browser can save it as a picture")
    shown = type(figure)(plain_text(figure.to_dict()))
    write_atomically({path: shown.to_html(include_plotlyjs=True, full_html=True).encode()})
