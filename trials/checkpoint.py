"""Weights on disk: one safetensors file a job, complete or not there at all."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from search_spaces import NasError


class CheckpointError(NasError):
    """Weights that are missing, damaged, or of another network."""


def weights_bytes(module: nn.Module) -> bytes:
    """The module's parameters and buffers as safetensors, by name."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()})


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


def read_weights(path: Path, expected_sha256: str) -> dict[str, Tensor]:
    """Tensors by name; raises CheckpointError for a file that is missing, changed or no safetensors."""
    content = read_bytes(path, expected_sha256)
    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"weights in {path} must be safetensors, but: {error}") from error


def load_weights(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Fill a module; raises CheckpointError where names or shapes are not its own."""
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"weights must be those of the network, but: {reason}") from error
