"""States of trainings and prunings on disk, from which they go on: in a later rung of a race, or after a crash."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from trials.checkpoint import weights_bytes
from trials.files import FilesError, read_file, remove_file, write_atomically
from trials.weights import sha256, state_paths

SECONDS = "seconds"  # the name under which they stand beside the tensors


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a training stood: after how many epochs (a pruning: steps) and seconds, and all of its tensors by name."""

    epoch: int
    seconds: float
    tensors: dict[str, Tensor]


def write_state(folder: Path, training_id: str, state: State) -> str:
    """Keep a state in place of earlier ones; the hash of its tensors, which knows nothing of the time they took."""
    epoch, seconds = state.epoch, torch.tensor(state.seconds, dtype=torch.float64)
    content = weights_bytes({**state.tensors, SECONDS: seconds})
    digest = sha256(content)
    path = folder / f"{training_id}-{epoch}-{digest[:16]}.state"
    write_atomically({path: content})
    with suppress(OSError):
        for other, earlier in state_paths(folder, training_id).items():
            if other != path and earlier <= epoch:
                remove_file(other)
    return sha256(weights_bytes(state.tensors))


def read_state(folder: Path, training_id: str, last: int | None = None) -> State | None:
    """The latest whole state of a training or pruning, none past epoch `last`; None where there is none.

    Raises FilesError where the folder cannot be read.
    """
    try:
        paths = state_paths(folder, training_id)
    except OSError as error:
        raise FilesError(f"files must be readable, but {folder}: {error.strerror}") from error
    for path in sorted(paths, key=lambda path: paths[path], reverse=True):
        if last is None or paths[path] <= last:
            with suppress(OSError, SafetensorError):
                content = read_file(path)
                if path.stem.endswith(sha256(content)[:16]):
                    tensors = load(content)
                    return State(epoch=paths[path], seconds=float(tensors.pop(SECONDS)), tensors=tensors)
    return None
