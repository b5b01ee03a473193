"""The images that an exported network is trained or scored on: its own, or others of the same kind."""

from pathlib import Path

from pydantic import ValidationError

from nas.export import ExportError
from nas.export_format import ExportedNetwork
from nas.file_names import is_file_name
from nas.spec_errors import explain
from search_spaces import Architecture
from trials.data import SOURCES, Dataset, DataSettings
from trials.dataset import load_dataset
from trials.source_facts import describe_source
from trials.torchvision_source import TORCHVISION


def open_images(
    path: Path, info: ExportedNetwork, source: str | None = None, root: str | None = None, *, own: bool = False
) -> tuple[DataSettings, Dataset]:
    """Images and their settings; split as those of the file, with the same shares and seed.

    `source` and `root` are data.source and data.root of a spec, on this machine. With `own`, and without a source, the
    images must be the file's. Raises ExportError where they are not, or are of other channels or classes.
    """
    stated = info.data.model_dump(include={"side", "split"}, exclude_none=True)
    named = _own_source(path, info.data.source) if source is None else source
    if named.startswith(TORCHVISION) and not root:
        raise ExportError(f"{path}: {named} must lie in a folder, or be downloaded to one; name it by --root")
    try:
        settings = DataSettings.model_validate({**stated, "source": named, "root": root or ""})
    except ValidationError as error:
        raise ExportError(f"{path}: data: {explain(error, DataSettings)}") from error
    facts = describe_source(settings)
    networks = [Architecture.from_json(data) for data in info.networks]
    channels, (classes,) = networks[0].input[0], networks[0].output
    if {(one.input[0], one.output) for one in networks} != {(facts.channels, (facts.classes,))}:
        raise ExportError(
            f"images must be of {channels} channels and {classes} classes as those of {path}, but {named} has "
            f"{facts.channels} and {facts.classes}; name other images by --data"
        )
    dataset = load_dataset(settings)
    if (own or source is None) and not are_own(info, dataset):
        others = "" if own else "; to use them, name them by --data"
        raise ExportError(
            f"the images must be those of {path}, but {settings.source} has other ones or another split{others}"
        )
    return settings, dataset


def _own_source(path: Path, source: str) -> str:
    """The images that a file names: a dataset, or a file or folder here. No path of a file's is followed elsewhere."""
    known = source in SOURCES or source.startswith(TORCHVISION)
    if not known and not (is_file_name(source) and Path(source).exists()):
        raise ExportError(f"the images of {path}, {source!r}, must be in this folder, but are not; name them by --data")
    return source


def are_own(info: ExportedNetwork, dataset: Dataset) -> bool:
    """Whether images and split are those of the file."""
    return (dataset.fingerprint, dataset.split_fingerprint) == (info.data.fingerprint, info.data.split_fingerprint)
