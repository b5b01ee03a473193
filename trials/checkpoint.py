"""Weights on disk: one safetensors file a job, complete or not there at all."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from trials.weights import CheckpointError, read_bytes


def weights_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Parameters and buffers as safetensors, by name."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


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
