"""The images that an exported network is trained or scored on: its own, or others of the same kind."""

from pathlib import Path

from pydantic import ValidationError

from nas.export import ExportError
from nas.export_format import ExportedNetwork
from nas.spec_errors import explain
from search_spaces import Architecture
from trials.data import Dataset, DataSettings
from trials.dataset import load_dataset
from trials.source_facts import describe_source


def open_images(
    path: Path, info: ExportedNetwork, source: str | None = None, root: str | None = None
) -> tuple[DataSettings, Dataset]:
    """Images and their settings; split as those of the file, with the same shares and seed.

    `source` and `root` are data.source and data.root of a spec; without a source the images must be the file's own.
    Raises ExportError where they are not, or are of other channels or classes.
    """
    stated = info.data.model_dump(include={"source", "root", "side", "split"}, exclude_none=True)
    asked = {name: value for name, value in (("source", source), ("root", root)) if value is not None}
    try:
        settings = DataSettings.model_validate(stated | asked)
    except ValidationError as error:
        raise ExportError(f"{path}: data: {explain(error, DataSettings)}") from error
    facts = describe_source(settings)
    network = Architecture.from_json(info.networks[0])
    if (network.input[0], network.output) != (facts.channels, (facts.classes,)):
        raise ExportError(
            f"images must be of {network.input[0]} channels and {network.output[0]} classes as those of {path}, but "
            f"{settings.source} has {facts.channels} and {facts.classes}; name other images by --data"
        )
    dataset = load_dataset(settings)
    if source is None and not are_own(info, dataset):
        raise ExportError(
            f"the images must be those of {path}, but {settings.source} has other ones or another split; to use them, "
            "name them by --data"
        )
    return settings, dataset


def are_own(info: ExportedNetwork, dataset: Dataset) -> bool:
    """Whether images and split are those of the file."""
    return (dataset.fingerprint, dataset.split_fingerprint) == (info.data.fingerprint, info.data.split_fingerprint)
