"""A trained network in the formats of others: ONNX, torch.export, code, a model card."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nas.export import LoadedNetwork
from nas.export_card import card_of
from nas.export_code import code_of
from nas.export_files import check_new
from nas.export_onnx import onnx_files
from nas.export_stages import StageFile
from nas.export_torch import torch_files


def _onnx(loaded: LoadedNetwork, path: Path) -> Iterable[StageFile]:
    return onnx_files(loaded.network, loaded.preprocess, path, _notes(loaded))


def _torch(loaded: LoadedNetwork, path: Path) -> Iterable[StageFile]:
    return torch_files(loaded.network, loaded.preprocess, path, _notes(loaded))


def _code(loaded: LoadedNetwork, path: Path) -> Iterable[StageFile]:
    return (StageFile(path=path, content=code_of(loaded).encode()),)


def _card(loaded: LoadedNetwork, path: Path) -> Iterable[StageFile]:
    return (StageFile(path=path, content=card_of(loaded.info).encode()),)


FORMATS: dict[str, tuple[str, Callable[[LoadedNetwork, Path], Iterable[StageFile]]]] = {  # by option
    "onnx": (".onnx", _onnx),
    "torch": (".pt2", _torch),
    "code": (".py", _code),
    "card": (".md", _card),
}


def make_formats(loaded: LoadedNetwork, files: Mapping[str, Path], *, force: bool) -> dict[Path, bytes]:
    """The network in each of these formats, for files of these names: what is to be written.

    Raises ExportError for a name that is none of its format's, where a file exists (without force), and where one gives
    other scores than torch.
    """
    for name, path in files.items():
        check_new(path, suffix=FORMATS[name][0], force=True)
    made = [file for name, path in files.items() for file in FORMATS[name][1](loaded, path)]
    for file in made:  # where images leave at several exits they have numbers in their names
        check_new(file.path, suffix=file.path.suffix, force=force)
    return {file.path: file.content for file in made}


def _notes(loaded: LoadedNetwork) -> dict[str, str]:
    return {"search": loaded.info.search, "network_id": loaded.info.network_id}
