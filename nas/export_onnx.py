"""A trained network as ONNX files, one for each exit, checked against torch by running them."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nas.export import ExportError, LoadedNetwork
from search_spaces.architecture import INPUT
from search_spaces.build import Network
from search_spaces.routing import RoutedNetwork, confidences
from trials.files import write_atomically

if TYPE_CHECKING:
    from onnx import ModelProto

NEEDED = ("onnx", "onnxscript", "onnxruntime")  # the extra `onnx` of pyproject.toml
BATCHES = (3, 1)  # images with which files are checked; torch.export takes 1 for a constant, so it is given the other
TOLERANCE = 1e-4  # of scores that are 1 or smaller; of larger ones relative to them


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


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """One stage in ONNX, as bytes, and the name of its file."""

    path: Path
    content: bytes


def onnx_files(
    network: Network | RoutedNetwork, preprocess: nn.Module, path: Path, notes: Mapping[str, str]
) -> tuple[OnnxFile, ...]:
    """The network as ONNX: `path` itself, or `name.1.onnx`, `name.2.onnx`, ... where images leave at several exits.

    Each takes uint8 images [N, C, S, S] of its network's resolution, or by name what the file before gives, for any N.
    `preprocess` brings images to the input of a single network; several have their own. `notes` are kept in each file,
    with its number and its threshold. Raises ExportError where the packages are not installed, or the files give other
    scores than torch.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ExportError(f"ONNX needs {', '.join(missing)}, not installed; pip install 'nas-service[onnx]'")
    if path.suffix != ".onnx" or not path.name.isprintable() or "\\" in path.name:
        raise ExportError(f"the ONNX file must have a plain name that ends with .onnx, but is {str(path)!r}")
    if isinstance(network, Network):
        whole = Stage(network, preprocess).eval()
        return (OnnxFile(path=path, content=_export(whole, _images(whole), notes)[0]),)
    stages = _stages(network)
    given: dict[int, tuple[Tensor, ...]] = {}
    files = []
    for number, stage in enumerate(stages, 1):
        own = {**notes, "stage": f"{number} of {len(stages)}"}
        if number < len(stages):
            own["threshold"] = repr(network.thresholds[number - 1])
        content, given = _export(stage, given if stage.reads else _images(stage), own)
        files.append(OnnxFile(path=path.with_suffix(f".{number}.onnx"), content=content))
    return tuple(files)


def write_onnx(loaded: LoadedNetwork, path: Path, *, force: bool) -> tuple[Path, ...]:
    """Write the files of `onnx_files`, all or none; their paths. Raises ExportError where one exists, without force."""
    notes = {"search": loaded.info.search, "network_id": loaded.info.network_id}
    files = onnx_files(loaded.network, loaded.preprocess, path, notes)
    for file in files:
        if file.path.exists() and not force:
            raise ExportError(f"the file must be new, but {file.path} exists; choose another or pass --force")
    write_atomically({file.path: file.content for file in files})
    return tuple(file.path for file in files)


def _stages(routed: RoutedNetwork) -> list[Stage]:
    temperatures: Sequence[float | None] = (*routed.temperatures, None)
    stages: list[Stage] = []
    for (i, segment), temperature in zip(routed.places, temperatures, strict=True):
        network = routed.networks[i]
        assert isinstance(network, Network)
        stage = Stage(network, routed.preprocessing[i], segment, temperature).eval()
        if segment > 0:
            stages[-1].leaves = stage.reads = network.left_by(segment - 1)
        stages.append(stage)
    return stages


def _images(stage: Stage) -> dict[int, tuple[Tensor, ...]]:
    """Pixels of noise, a batch of each size."""
    generator = torch.Generator().manual_seed(0)
    shape = stage.network.architecture.input
    return {n: (torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator),) for n in BATCHES}


@torch.inference_mode()
def _export(
    stage: Stage, given: Mapping[int, tuple[Tensor, ...]], notes: Mapping[str, str]
) -> tuple[bytes, dict[int, tuple[Tensor, ...]]]:
    """The stage's file, and what it leaves of each batch, as torch does."""
    batch = torch.export.Dim("N")
    with _quiet():
        program = torch.onnx.export(
            stage,
            given[BATCHES[0]],
            dynamo=True,
            dynamic_shapes=(tuple({0: batch} for _ in stage.inputs),),
            input_names=list(stage.inputs),
            output_names=list(stage.outputs),
            external_data=False,
            verbose=False,
        )
    assert program is not None, "torch gives a program where it writes no file"
    content = _plain(program.model_proto, notes)
    left = {}
    for size, values in given.items():
        wanted = stage(*values)
        _check(content, stage, values, wanted)
        left[size] = wanted[len(wanted) - len(stage.leaves) :]
    return content, left


def _plain(model: "ModelProto", notes: Mapping[str, str]) -> bytes:
    """The file without what torch notes of where it was made: paths and lines of source."""
    from onnx import checker, helper

    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    helper.set_model_props(model, dict(notes))
    checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _check(content: bytes, stage: Stage, given: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(
        list(stage.outputs), {name: value.numpy() for name, value in zip(stage.inputs, given, strict=True)}
    )
    for name, ours, theirs in zip(stage.outputs, wanted, found, strict=True):
        apart = (ours - torch.from_numpy(theirs)).abs() / ours.abs().clamp(min=1)
        if theirs.shape != tuple(ours.shape) or not bool((apart <= TOLERANCE).all()):
            raise ExportError(
                f"ONNX must give {name} as torch does, but differs by {float(apart.max()):.2g}; report the network"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter warns of its own internals, and logs operators of packages that are not installed."""
    logger = getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
