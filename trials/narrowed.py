"""Weights of a trained network, narrowed by magnitude (Li et al. 2017, section 3.1): where fine-tuning begins."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from search_spaces import Architecture, NetworkError
from search_spaces.build import build
from search_spaces.magnitude import keep_largest
from search_spaces.narrowing import shares_left, with_free_expansions
from search_spaces.shrink import shrink
from trials.checkpoint import load_weights
from trials.files import read_file
from trials.job import Job
from trials.weights import CheckpointError, checkpoint_path


def narrowed_weights(architecture: Architecture, origin: Job, folder: Path) -> dict[str, Tensor]:
    """What `search_spaces.narrowing.narrowed` made of the origin's network, with the origin's largest filters.

    Raises CheckpointError for weights that are missing or not the origin's, NetworkError where the filters that stay
    would not make this network.
    """
    path = checkpoint_path(folder, origin)
    try:
        tensors = load(read_file(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"weights in {path} must be those of the network to narrow, but: {error}") from error
    network = build(with_free_expansions(origin.architecture))
    load_weights(network, tensors)
    narrow = shrink(network, keep_largest(network, shares_left(network.architecture, architecture)))
    if narrow.architecture.id != architecture.id:
        raise NetworkError(
            "channels chosen by magnitude must leave the sums and shuffles of the network as they are, but leave "
            f"another one (id {narrow.architecture.id}, not {architecture.id}); leave magnitude out of methods"
        )
    return narrow.state_dict()
