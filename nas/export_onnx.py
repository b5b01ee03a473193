"""A trained network as ONNX files, one for each exit, checked against torch by running them."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nas.export import ExportError
from nas.export_stages import Program, Stage, StageFile, stage_files
from search_spaces.build import Network
from search_spaces.routing import RoutedNetwork

if TYPE_CHECKING:
    from onnx import ModelProto

NEEDED = ("onnx", "onnxscript", "onnxruntime")  # the extra `onnx` of pyproject.toml


def onnx_files(
    network: Network | RoutedNetwork, preprocess: nn.Module, path: Path, notes: Mapping[str, str]
) -> tuple[StageFile, ...]:
    """The network as ONNX: `path` itself, or `name.1.onnx`, `name.2.onnx`, ... where images leave at several exits.

    Each takes uint8 images [N, C, S, S] of its network's resolution, or by name what the file before gives, for any N.
    `notes` are kept in each file, with its number and its threshold. Raises ExportError where the packages are not
    installed, and as `stage_files` does.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ExportError(f"ONNX needs {', '.join(missing)}, not installed; pip install 'nas-service[onnx]'")
    return stage_files(network, preprocess, path, notes, _export)


def _export(stage: Stage, given: tuple[Tensor, ...], notes: Mapping[str, str]) -> Program:
    with _quiet():
        program = torch.onnx.export(
            stage,
            given,
            dynamo=True,
            dynamic_shapes=stage.dynamic_shapes(),
            input_names=list(stage.inputs),
            output_names=list(stage.outputs),
            external_data=False,
            verbose=False,
        )
    assert program is not None, "torch gives a program where it writes no file"
    content = _plain(program.model_proto, notes)
    return Program(content=content, run=lambda values: _run(content, stage, values))


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


def _run(content: bytes, stage: Stage, given: tuple[Tensor, ...]) -> Sequence[Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    named = {name: value.numpy() for name, value in zip(stage.inputs, given, strict=True)}
    return [torch.from_numpy(values) for values in session.run(list(stage.outputs), named)]


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
