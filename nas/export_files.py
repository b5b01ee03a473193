"""Exports as files: a .json file and its weights beside it, both or neither; on a disk or at a URL."""

from pathlib import Path

from nas.export import ExportError, export_winner
from nas.export_format import ExportedNetwork
from nas.file_names import check_writable
from trials.files import write_atomically
from trials.store import Store


def check_target(path: Path, *, force: bool) -> Path:
    """The file of the weights beside a .json file that is to be written; raises ExportError where either cannot be."""
    weights = path.with_suffix(".safetensors")
    check_new(path, weights, suffix=".json", force=force)
    return weights


def check_new(path: Path, *beside: Path, suffix: str, force: bool) -> None:
    """Raises ExportError where a file of this name, or those beside it, cannot be written."""
    check_writable(path, *beside, suffixes=(suffix,), force=force, error=ExportError)


def write_export(store: Store, name: str, path: Path, *, force: bool) -> None:
    """Write the winner to a .json file and its weights beside it; neither is put in place before both are written."""
    weights = check_target(path, force=force)
    exported, content = export_winner(store, name, weights.name)
    write_exported(exported, content, path)


def write_exported(exported: ExportedNetwork, content: bytes, path: Path) -> None:
    """Write an export to a .json file, and its weights beside it."""
    weights = path.with_suffix(".safetensors")
    write_atomically({weights: content, path: (exported.model_dump_json(indent=2) + "\n").encode()})
