"""Weights as files: where they lie, and whether they are whole. No torch: the driver of a search needs none."""

import hashlib
from contextlib import suppress
from pathlib import Path

from search_spaces import NasError
from trials.job import Job


class CheckpointError(NasError):
    """Weights that are missing, damaged, or of another network."""


def checkpoint_path(folder: Path, job: Job) -> Path:
    """Where a job's weights lie."""
    return folder / f"{job.training().id}.safetensors"


def start_path(folder: Path, start_sha256: str) -> Path:
    """Where the weights lie that a training starts from."""
    return folder / f"start-{start_sha256[:16]}.safetensors"


def state_paths(folder: Path, training_id: str) -> dict[Path, int]:
    """States of a training, from which it can be continued, with their epochs: name-epoch-hash.state."""
    return {path: int(path.stem.split("-")[1]) for path in folder.glob(f"{training_id}-*-*.state")}


def drop_states(folder: Path, training_id: str) -> None:
    """Remove the states of a training that will not be continued."""
    for path in state_paths(folder, training_id):
        with suppress(OSError):
            path.unlink()


def sha256(content: bytes) -> str:
    """Hash under which weights are known."""
    return hashlib.sha256(content).hexdigest()


def read_bytes(path: Path, expected_sha256: str) -> bytes:
    """A weights file; raises CheckpointError where it is missing or its hash differs."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"weights must be readable at {path}, but: {error.strerror}") from error
    if sha256(content) != expected_sha256:
        raise CheckpointError(f"weights in {path} must have SHA-256 {expected_sha256}, but have {sha256(content)}")
    return content


def weights_are_whole(path: Path, expected_sha256: str) -> bool:
    """True when the file is there and has the hash."""
    try:
        read_bytes(path, expected_sha256)
    except CheckpointError:
        return False
    return True
