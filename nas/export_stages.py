"""A trained network as files that other programs run: one, or one for each exit; each checked against torch."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.export import ExportError
from search_spaces.architecture import INPUT
from search_spaces.build import Network
from search_spaces.exits import segments
from search_spaces.routing import RoutedNetwork, confidences

BATCHES = (3, 1)  # images with which files are checked; torch.export takes 1 for a constant, so it is given the other
TOLERANCE = 1e-4  # of scores that are 1 or smaller; of larger ones relative to them
Batches = Mapping[int, tuple[Tensor, ...]]  # what a stage reads, by number of images


class Stage(nn.Module):
    """What is computed for one exit, from images or from what the stage before has left; of no segment, the network.

    `reads` and `leaves` name the values [N, ...] that come from the stage before and that the next one reads. An exit
    with a temperature says how sure it is, float64 [N].
    """

    def __init__(
        self, network: Network, preprocess: nn.Module, segment: int | None = None, temperature: float | None = None
    ) -> None:
        super().__init__()
        self.network, self.preprocess = network, preprocess
        self.segment, self.temperature = segment, temperature
        self.reads: tuple[str, ...] = ()
        self.leaves: tuple[str, ...] = ()

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Scores [N, classes], the confidence [N] where there is a temperature, then what the next stage reads."""
        if self.segment is None:
            return (self.network(self.preprocess(given[0])),)
        values = dict(zip(self.reads, given, strict=True)) if self.reads else {INPUT: self.preprocess(given[0])}
        scores = self.network.run_segment(self.segment, values)
        sure = () if self.temperature is None else (confidences(scores, self.temperature),)
        return (scores, *sure, *(values[name] for name in self.leaves))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what `forward` takes."""
        return self.reads or ("images",)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `forward` gives."""
        return ("scores", *(() if self.temperature is None else ("confidence",)), *self.leaves)

    def dynamic_shapes(self) -> tuple[Any, ...]:
        """As torch.export wants them: the number of images is any, the same of all that `forward` takes.

        Of a value that has replicas of each image the first side is a multiple of it.
        """
        batch = torch.export.Dim("batch")
        shapes = [self.network.architecture.shapes[name] for name in self.reads] or [self.network.architecture.input]
        replicas = [shape[0] if len(shape) in (2, 4) else 1 for shape in shapes]
        return (tuple({0: batch if count == 1 else count * batch} for count in replicas),)


@dataclass(frozen=True, kw_only=True)
class StageFile:
    """One stage as bytes, and the name of its file."""

    path: Path
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Program:
    """One stage as another program's file, and that program: from what the stage reads to what it gives, in order."""

    content: bytes
    run: Callable[[tuple[Tensor, ...]], Sequence[Tensor]]


Export = Callable[[Stage, tuple[Tensor, ...], Mapping[str, str]], Program]


@torch.inference_mode()
def stage_files(
    network: Network | RoutedNetwork,
    preprocess: nn.Module,
    path: Path,
    notes: Mapping[str, str],
    export: Export,
) -> tuple[StageFile, ...]:
    """`path` itself, or `name.1.suffix`, `name.2.suffix`, ... where images leave at several exits.

    `export` makes a file of a stage, an example of what it reads and its notes: `notes`, the images' side, its number
    and its threshold.
    `preprocess` brings images to the input of a single network; several have their own. Raises ExportError where a
    file gives other numbers than torch, for batches of two sizes.
    """
    if isinstance(network, Network):
        whole = Stage(network, preprocess).eval()
        own = {**notes, "side": str(network.architecture.resolution)}
        return (StageFile(path=path, content=_checked(export, whole, _images(whole), own, path)[0]),)
    stages = _stages(network)
    given: Batches = {}
    files = []
    for number, stage in enumerate(stages, 1):
        side = str(stage.network.architecture.resolution)
        own = {**notes, "side": side, "stage": f"{number} of {len(stages)}"}
        if number < len(stages):
            own["threshold"] = repr(network.thresholds[number - 1])
        content, given = _checked(export, stage, given if stage.reads else _images(stage), own, path)
        files.append(StageFile(path=path.with_suffix(f".{number}{path.suffix}"), content=content))
    return tuple(files)


def _stages(routed: RoutedNetwork) -> list[Stage]:
    temperatures: Sequence[float | None] = (*routed.temperatures, None)
    stages: list[Stage] = []
    for (i, segment), temperature in zip(routed.places, temperatures, strict=True):
        network = routed.networks[i]
        assert isinstance(network, Network)
        stage = Stage(_part(network, segment), routed.preprocessing[i], segment, temperature).eval()
        if segment > 0:
            stages[-1].leaves = stage.reads = network.left_by(segment - 1)
        stages.append(stage)
    return stages


def _part(network: Network, segment: int) -> Network:
    """The network with the layers of one segment alone: a file holds no other's weights."""
    part = copy(network)
    part._modules = {node.name: network._modules[node.name] for node in segments(network.architecture)[segment]}
    return part


def _images(stage: Stage) -> Batches:
    """Pixels of noise, a batch of each size."""
    generator = torch.Generator().manual_seed(0)
    shape = stage.network.architecture.input
    return {n: (torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator),) for n in BATCHES}


def _checked(
    export: Export, stage: Stage, given: Batches, notes: Mapping[str, str], path: Path
) -> tuple[bytes, Batches]:
    """The stage's file, and what it leaves of each batch, as torch does."""
    program = export(stage, given[BATCHES[0]], notes)
    left = {}
    for size, values in given.items():
        wanted = stage(*values)
        for name, ours, theirs in zip(stage.outputs, wanted, program.run(values), strict=True):
            apart = (ours - theirs).abs() / ours.abs().clamp(min=1)
            if theirs.shape != ours.shape or not bool((apart <= TOLERANCE).all()):
                raise ExportError(
                    f"{path.name} must give {name} as torch does, but differs by {float(apart.max()):.2g}; "
                    "report the network"
                )
        left[size] = wanted[len(wanted) - len(stage.leaves) :]
    return program.content, left
