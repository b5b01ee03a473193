"""A trained network as files of torch.export (.pt2), one for each exit, checked by loading and running them.

torch alone loads them, also from other languages: no class of ours is in them.
"""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from nas.export_stages import Program, Stage, StageFile, stage_files
from search_spaces.build import Network
from search_spaces.routing import RoutedNetwork

NOTES = "notes.json"  # the extra file that says what a stage reads and gives, its number and threshold


def torch_files(
    network: Network | RoutedNetwork, preprocess: nn.Module, path: Path, notes: Mapping[str, str]
) -> tuple[StageFile, ...]:
    """The network for torch.export.load: `path` itself, or `name.1.pt2`, `name.2.pt2`, ... of several exits.

    Each takes uint8 images [N, C, S, S] of its network's resolution, or in order what the file before gives after its
    confidence, for any N. Raises ExportError as `stage_files` does.
    """
    return stage_files(network, preprocess, path, notes, _export)


def _export(stage: Stage, given: tuple[Tensor, ...], notes: Mapping[str, str]) -> Program:
    program = torch.export.export(stage, given, dynamic_shapes=stage.dynamic_shapes())
    content = _save(_plain(program), {**notes, "inputs": stage.inputs, "outputs": stage.outputs})
    loaded = torch.export.load(BytesIO(content)).module()
    return Program(content=content, run=lambda values: _run(loaded, values))


def _plain(program: ExportedProgram) -> ExportedProgram:
    """The program without what torch notes of where it was made: paths, lines of source, the images it was tried on."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for key in ("stack_trace", "nn_module_stack", "source_fn_stack"):
                node.meta.pop(key, None)
    program.example_inputs = None
    return program


def _save(program: ExportedProgram, notes: Mapping[str, object]) -> bytes:
    file = BytesIO()
    torch.export.save(program, file, extra_files={NOTES: json.dumps(notes)})
    return file.getvalue()


def _run(module: nn.Module, given: tuple[Tensor, ...]) -> Sequence[Tensor]:
    found: Sequence[Tensor] = module(*given)
    return found
