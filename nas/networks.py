"""Networks by text: of the zoo, of torchvision, of a JSON file, or a module of the user's own.

Only the last three need torch, so it is imported where they do.
"""

import importlib
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nas.texts import TextError, read_json
from search_spaces import Architecture, NetworkError
from search_spaces.edits import with_channels, with_classes, with_resolution
from search_spaces.ops import LARGEST
from search_spaces.zoo import ZOO, make_network

MODULE, TORCHVISION = "module:", "torchvision:"


@dataclass(frozen=True, kw_only=True)
class NamedNetwork:
    """A network, and the parameters of its module that evaluation does not use (path to number): not counted."""

    architecture: Architecture
    unused: Mapping[str, int] = field(default_factory=dict)


def load_network(
    text: str,
    *,
    resolution: int | None = None,
    classes: int | None = None,
    channels: int | None = None,
    allow_code: bool = False,
) -> NamedNetwork:
    """The network that a text names; what is None stays as the network has it.

    `resnet18`, `isometric:depth=8` (zoo), `torchvision:resnet50`, `winner.json` (exported, or an architecture), or
    `module:package.file:make_model`, whose code is run only with `allow_code`. Raises NetworkError.
    """
    for name, number in (("resolution", resolution), ("classes", classes), ("channels", channels)):
        if number is not None and not 1 <= number <= LARGEST:
            raise NetworkError(f"{name} must be at least 1 and at most 2^24, but is {number}")
    if text.startswith(MODULE):
        named = _trace_own(text, resolution, channels, allow_code=allow_code)
    elif text.startswith(TORCHVISION):
        from search_spaces.torchvision_networks import trace_torchvision

        traced = trace_torchvision(text.removeprefix(TORCHVISION), resolution=resolution)
        named = NamedNetwork(architecture=traced.architecture, unused=traced.unused)
    elif text.endswith(".json"):
        named = NamedNetwork(architecture=_read_network(Path(text)))
    else:
        _check_name(text)
        return NamedNetwork(architecture=make_network(text, resolution=resolution, classes=classes, channels=channels))
    network = named.architecture
    if channels is not None and channels != network.input[0]:
        network = with_channels(network, channels)
    if resolution is not None and resolution != network.resolution:
        network = with_resolution(network, resolution)
    if classes is not None and (classes,) != network.output:
        network = with_classes(network, classes)
    return replace(named, architecture=network)


def _check_name(text: str) -> None:
    name = text.partition(":")[0].strip()
    if name not in ZOO:
        close = get_close_matches(name, ZOO, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise NetworkError(
            f"a network must be one of {', '.join(ZOO)}, or torchvision:NAME, a .json file or "
            f"module:package.file:make_model, but is {text!r}{hint}"
        )


def _read_network(path: Path) -> Architecture:
    try:
        data = read_json(path, "a network must be a readable JSON file")
    except TextError as error:
        raise NetworkError(str(error)) from error
    try:
        return Architecture.from_json(data.get("architecture", data) if isinstance(data, dict) else data)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from error


def _trace_own(text: str, resolution: int | None, channels: int | None, *, allow_code: bool) -> NamedNetwork:
    if resolution is None:
        raise NetworkError(f"a module of your own needs a resolution (--resolution), but {text} has none")
    from search_spaces.trace import trace, verify_trace

    made = make_own_module(text, allow_code=allow_code)
    with redirect_stdout(sys.stderr):  # forward may print, too
        traced = trace(made, (3 if channels is None else channels, resolution, resolution))
        verify_trace(traced, made)
    return NamedNetwork(architecture=traced.architecture, unused=traced.unused)


def make_own_module(text: str, *, allow_code: bool) -> Any:
    """The torch module that `module:package.file:make_model` names, made by running that code.

    It is looked for in the working folder first. Raises NetworkError without `allow_code`, and where the code cannot
    be run or makes no module.
    """
    package, _, function = text.removeprefix(MODULE).partition(":")
    if not package or not function:
        raise NetworkError(f"a module must be named as module:package.file:make_model, but is {text!r}")
    if not allow_code:
        raise NetworkError(f"code of your own runs only when allowed, but {text!r} needs it; pass --allow-code")
    from torch import nn

    if str(Path.cwd()) not in sys.path:  # it stays: forward may import, too
        sys.path.insert(0, str(Path.cwd()))
    try:
        with redirect_stdout(sys.stderr):  # standard output is for what was asked
            made = getattr(importlib.import_module(package), function)()
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise NetworkError(
            f"{text} must make a module, but raises {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error
    if not isinstance(made, nn.Module):
        raise NetworkError(f"{text} must make a torch.nn.Module, but makes {type(made).__name__}")
    return made
