"""torchvision's classifiers as networks, and their pretrained weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision import models

from search_spaces.errors import NetworkError
from search_spaces.trace import Traced, trace

PREFIX = "torchvision:"
_WITHOUT_INIT = {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}


def classifier_names() -> list[str]:
    """All classifiers of the installed torchvision; those with attention cannot be traced."""
    return list(models.list_models(module=models))


def trace_torchvision(name: str, *, resolution: int | None = None, classes: int | None = None) -> Traced:
    """A classifier of torchvision; by default at its weights' crop size, for 1000 classes.

    Raises NetworkError for an unknown name, for a classifier that no network as data can hold, and, naming the node,
    for a resolution that is too small.
    """
    with _without_weights():
        module = make_classifier(name, classes=classes)
    side = crop_size(name) if resolution is None else resolution
    return trace(module, (3, side, side))


def make_classifier(name: str, *, classes: int | None = None) -> nn.Module:
    """The module, freshly initialised."""
    known = classifier_names()
    if name not in known:
        close = get_close_matches(name, known, n=3)
        hint = (
            f"; did you mean {', '.join(close)}?"
            if close
            else f"; torchvision {torchvision.__version__} knows: {known}"
        )
        raise NetworkError(f"{PREFIX} must be followed by a classifier, but got {name!r}{hint}")
    settings: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    module: nn.Module = models.get_model(name, weights=None, **settings, **_WITHOUT_INIT.get(name, {}))
    return module


def crop_size(name: str) -> int:
    """Side of the images that the classifier's default weights were scored on."""
    return int(models.get_model_weights(name).DEFAULT.transforms().crop_size[0])


def pretrained_state(name: str, source: str) -> dict[str, torch.Tensor]:
    """Weights of a classifier: from a file that torch wrote, or torchvision's own ("torchvision"), downloaded.

    Raises NetworkError where the file is none, or nothing can be downloaded.
    """
    if source == "torchvision":
        return _attempt(
            lambda: dict(models.get_model_weights(name).DEFAULT.get_state_dict(progress=False, check_hash=True)),
            f"torchvision's weights of {name} must be downloaded; without a network, give a file",
        )
    return _attempt(
        lambda: dict(torch.load(Path(source), map_location="cpu", weights_only=True)),
        f"weights must be a file that torch.save wrote of a state_dict, but {source}",
    )


def _attempt(load: Callable[[], dict[str, torch.Tensor]], rule: str) -> dict[str, torch.Tensor]:
    try:
        return load()
    except Exception as error:  # urllib, pickle, zip and torch each raise their own
        raise NetworkError(f"{rule}: {' '.join(str(error).split())[:200]}") from error


@contextmanager
def _without_weights() -> Iterator[None]:
    """Modules made meanwhile have parameters without memory: making a large network takes no time.

    torch.device("meta") would do it for all tensors, but RegNet computes its widths with some.
    """
    register = nn.Module.register_parameter

    def register_empty(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        empty = None if parameter is None else nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        register(module, name, empty)

    nn.Module.register_parameter = register_empty  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
