"""What a source holds: for files of the user's own, after decoding them once."""

import os
from pathlib import Path

from trials.data import SOURCES, DataSettings, SourceFacts
from trials.image_cache import DecodedImages, open_images
from trials.image_source import own_path
from trials.torchvision_source import TORCHVISION


def describe_source(settings: DataSettings) -> SourceFacts:
    """Raises DataError where the source is none or cannot be read."""
    if settings.source in SOURCES:
        return SOURCES[settings.source]
    return facts_of(open_images(settings))


def facts_of(decoded: DecodedImages) -> SourceFacts:
    """What decoded images hold."""
    count, channels, side, _ = decoded.images.shape
    return SourceFacts(
        images=count,
        channels=channels,
        side=side,
        classes=len(decoded.classes),
        own={split: len(indices) for split, indices in decoded.splits.items() if split != "train"},
    )


def public_name(source: str) -> str:
    """What may be told of a source: a dataset's name, or a file's or folder's without its path."""
    if source in SOURCES or source.startswith(TORCHVISION):
        return source
    path = Path(os.path.abspath(own_path(source)))
    return "folder" if path == Path.home() else path.name or "folder"  # a home is named as its user
