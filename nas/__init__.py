"""How wide should each layer be, and at what resolution should it look? The Python API.

`nas.load("winner.json")` gives the trained network of an exported file.
"""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.export import LoadedNetwork

__all__ = ["load"]


def load(path: str | PathLike[str]) -> LoadedNetwork:
    """The trained torch module of an exported file or URL: uint8 images [N, C, H, W] to scores [N, classes].

    Raises `search_spaces.NasError` for a file that is no sound export.
    """
    from nas.export import load_export  # torch takes seconds to import, and `nas --help` needs none of it
    from trials.folders import open_path

    return load_export(open_path(fspath(path)))
