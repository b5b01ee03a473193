"""A trained network as one readable Python file that needs torch alone: preprocessing, layers, routing."""

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.export import ExportError, LoadedNetwork
from nas.export_format import ExportedNetwork
from search_spaces import Architecture
from search_spaces.build import Network
from search_spaces.layer_code import Call
from search_spaces.network_code import ClassCode, network_class, segmented_class, statement
from search_spaces.routing import RoutedNetwork, confidences

_TOLERANCE = 1e-6  # of scores that are 1 or smaller; of larger ones relative to them
_IMAGES = 8  # with which the file is checked
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what of a file's texts gets into the code

_HEADER = '''"""Class scores of images: {title}.

    from safetensors.torch import load_file

    network = Network()
    network.load_state_dict(load_file("{weights}"))
    scores = network.eval()(images)  # images uint8 [N, {channels}, H, W], 0 to 255, of any side; scores [N, {classes}]

In comments: N images, channels, height, width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

'''
_PREPROCESS = '''def preprocess(images: Tensor, side: int) -> Tensor:
    """Images uint8 [N, C, H, W], 0 to 255, to normalised float32 [N, C, side, side]; raises TypeError for others."""
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, 0 to 255, but are {images.dtype}")
    if images.shape[-2:] != (side, side):
        resized = F.interpolate(images.float(), size=(side, side), mode="bilinear", antialias=True)
        images = resized.round().to(torch.uint8)  # whole grey levels, as in training
    mean, std = (torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (MEAN, STD))
    return (images.float() / 255 - mean) / std'''
_ROUTED = '''class Network(nn.Module):
    """{names}: an image that one exit is not sure of goes on to the next.

    Of every exit: what computes it, the side that images are brought to for it (None: it goes on from the exit before),
    the confidence above which it answers (None: it answers all that is left), the temperature of its confidence.
    """

    def __init__(self) -> None:
        super().__init__()
        self.networks = nn.ModuleList([{made}])
        self.exits = (
{exits}
        )

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [N, {classes}] of images uint8 [N, {channels}, H, W] of any side."""
        return self.route(images)[0]

    def route(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and int64 [N] which exit gave them, counted from 0."""
        scores = torch.zeros(len(images), {classes}, device=images.device)
        exits = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        rows = torch.arange(len(images), device=images.device)  # images that no exit has answered
        left: list[Tensor] = []  # what the exit before has left of them
        for number, (compute, side, threshold, temperature) in enumerate(self.exits):
            if not len(rows):
                break
            given = left if side is None else [preprocess(images[rows], side)]
            scores[rows], left = compute(*given)
            exits[rows] = number
            if threshold is not None:
                unsure = confidences(scores[rows], temperature) <= threshold
                left = [value.unflatten(0, (len(rows), -1))[unsure].flatten(0, 1) for value in left]
                rows = rows[unsure]
        return scores, exits'''


def code_of(loaded: LoadedNetwork) -> str:
    """The file, formatted; its `Network` takes the state dict of the exported weights.

    Raises ExportError where it gives other scores than the network.
    """
    info = loaded.info
    text = write_code([Architecture.from_json(data) for data in info.networks], info)
    _check(text, loaded)
    return text


def write_code(networks: Sequence[Architecture], info: ExportedNetwork) -> str:
    """The source of these networks, with all else from the file."""
    channels, classes = networks[0].input[0], networks[0].output[0]
    weights = Path(info.weights.file or "").name
    header = _HEADER.format(
        title=f"network {_plain(info.network_id)} of search {_plain(info.search)}",
        weights=_plain(weights) if _plain(weights).endswith(".safetensors") else "winner.safetensors",
        channels=channels,
        classes=classes,
    )
    constants = [
        line
        for name, values in (("MEAN", info.preprocessing.mean), ("STD", info.preprocessing.std))
        for line in statement(f"{name} = ", Call(function="", arguments=tuple(map(repr, values)), brackets=("[", "]")))
    ]
    if info.dynamic is None:
        says = f"{info.costs.params:,} parameters, {info.costs.macs:,} multiply-adds an image, {info.resolution} px."
        made = network_class(networks[0], "Network", says, first=f"preprocess(images, {info.resolution})")
        blocks = [_PREPROCESS, *made.needs, made.text]
    else:
        parts = [_part(i, one) for i, one in enumerate(networks)]
        needs = sorted({need for part in parts for need in part.needs})
        routed = _routed(networks, parts, info)
        blocks = [_PREPROCESS, inspect.getsource(confidences).rstrip(), *needs, *(part.text for part in parts), routed]
    return "\n".join((header.rstrip("\n"), "", *constants, "", "", "\n\n\n".join(blocks), ""))


def _part(number: int, network: Architecture) -> ClassCode:
    return segmented_class(network, f"Network{number + 1}", f"Of normalised images of {network.resolution} px.")


def _routed(networks: Sequence[Architecture], parts: Sequence[ClassCode], info: ExportedNetwork) -> str:
    assert info.dynamic is not None
    names = [f"Network{number}" for number in range(1, len(parts) + 1)]
    methods = [
        (f"self.networks[{i}].{method}", None if later else networks[i].resolution)
        for i, part in enumerate(parts)
        for later, method in enumerate(part.methods)
    ]
    return _ROUTED.format(
        names=" and ".join(names) if len(names) < 3 else f"{names[0]} to {names[-1]}",
        made=", ".join(f"{name}()" for name in names),
        exits="\n".join(
            f"            ({method}, {side}, {exit_.threshold!r}, {exit_.temperature!r}),"
            for (method, side), exit_ in zip(methods, info.dynamic.exits, strict=True)
        ),
        classes=networks[0].output[0],
        channels=networks[0].input[0],
    )


def _plain(text: str) -> str:
    """A name as it may stand in the code."""
    return text if _PLAIN.fullmatch(text) else "unnamed"


@torch.inference_mode()
def _check(text: str, loaded: LoadedNetwork) -> None:
    """Run the file as its user does; raises ExportError where it gives other scores."""
    names: dict[str, Any] = {}
    exec(text, names)  # written above: numbers, and words of which nothing but letters is left
    network = names["Network"]()
    network.load_state_dict(_state(loaded.network))
    generator = torch.Generator().manual_seed(0)
    channels, side = len(loaded.info.preprocessing.mean), loaded.info.resolution + 1
    images = torch.randint(0, 256, (_IMAGES, channels, side, side), dtype=torch.uint8, generator=generator)
    wanted, found = loaded(images), network.eval()(images)
    apart = (wanted - found).abs() / wanted.abs().clamp(min=1)
    if not bool((apart <= _TOLERANCE).all()):
        raise ExportError(f"the code must give scores as torch does, but differs by {float(apart.max()):.2g}")


def _state(network: Network | RoutedNetwork) -> Mapping[str, Tensor]:
    """The tensors under the names of the weights' file."""
    module: nn.Module = network
    return {name: tensor for name, tensor in module.state_dict().items() if not name.startswith("preprocessing.")}
