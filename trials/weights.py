"""Weights as files: where they lie, and whether they are whole. No torch: the driver of a search needs none."""

import hashlib
from contextlib import suppress
from pathlib import Path

from search_spaces import NasError
from trials.files import FilesError, list_files, read_file, remove_file
from trials.folders import is_remote
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
    return {path: int(path.stem.split("-")[1]) for path in list_files(folder, f"{training_id}-", ".state")}


def drop_states(folder: Path, training_id: str) -> None:
    """Remove the states of a training that will not be continued."""
    with suppress(OSError):  # of no use any more, but no harm either
        for path in state_paths(folder, training_id):
            remove_file(path)


def sha256(content: bytes) -> str:
    """Hash under which weights are known."""
    return hashlib.sha256(content).hexdigest()


def read_bytes(path: Path, expected_sha256: str) -> bytes:
    """A weights file; raises CheckpointError where it is missing or its hash differs."""
    try:
        content = read_file(path)
    except OSError as error:
        raise CheckpointError(f"weights must be readable at {path}, but: {error.strerror}") from error
    if sha256(content) != expected_sha256:
        raise CheckpointError(f"weights in {path} must have SHA-256 {expected_sha256}, but have {sha256(content)}")
    return content


def weights_are_whole(path: Path, expected_sha256: str) -> bool:
    """True when the file is there and has the hash.

    Raises FilesError for a place that cannot be reached now: what lies there need not be made again.
    """
    try:
        content = read_file(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        if is_remote(path):
            raise FilesError(f"files must be readable, but {path}: {error.strerror}") from error
        return False
    return sha256(content) == expected_sha256
