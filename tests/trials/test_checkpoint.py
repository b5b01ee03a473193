"""Weights on disk."""

from pathlib import Path

import pytest
import torch

from search_spaces.build import build
from tests.search_spaces.test_architecture import lenet
from trials.checkpoint import load_weights, read_weights, weights_bytes
from trials.weights import CheckpointError, sha256


def test_both_ways(tmp_path: Path) -> None:
    network = build(lenet())
    content = weights_bytes(network.state_dict())
    (tmp_path / "a.safetensors").write_bytes(content)
    again = build(lenet())
    load_weights(again, read_weights(tmp_path / "a.safetensors", sha256(content)))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_changed_missing_or_foreign(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match=r"must be readable at .*a\.safetensors, but: No such file"):
        read_weights(path, "")
    path.write_bytes(b"abc")
    with pytest.raises(CheckpointError, match="must have SHA-256"):
        read_weights(path, "0" * 64)
    with pytest.raises(CheckpointError, match="must be safetensors"):
        read_weights(path, sha256(b"abc"))
    with pytest.raises(CheckpointError, match="must be those of the network"):
        load_weights(build(lenet()), build(lenet(29)).state_dict())
