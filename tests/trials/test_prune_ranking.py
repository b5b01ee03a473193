"""Which channels go: floors, numbers and shares, normalisation, ties, parts; groups that cannot lose any."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from search_spaces import Architecture, NetworkError, ops
from search_spaces.sketch import Sketch
from search_spaces.zoo import make_network
from trials.prune_ranking import choose_removed, find_prunable, normalised
from trials.prune_settings import PruneSettings, prune_preset

VGG = make_network("vgg11:widths=4-4-4-4-4-4-4-4")


def chain(*layers: ops.Op) -> Architecture:
    sketch = Sketch((2, 4, 4))
    for i, op in enumerate((*layers, ops.Flatten(), ops.Linear(out_features=3))):
        sketch.add(f"x{i}", op)
    return sketch.finish()


def removed(architecture: Architecture, scores: dict[str, list[float]], **changes: Any) -> dict[str, list[int]]:
    """Channels that one step removes, of groups that lose some; the scores of groups that are not named are 1."""
    settings = PruneSettings(**changes)
    prunable = find_prunable(architecture, settings)
    full = {group.name: np.array(scores.get(group.name, [1.0] * group.width)) for group in prunable.groups}
    kept = choose_removed(full, {name: np.ones(len(row), bool) for name, row in full.items()}, prunable, settings)
    return {name: np.flatnonzero(~flags).tolist() for name, flags in kept.items() if not flags.all()}


def test_the_lowest_of_all_groups_go() -> None:
    scores = {"conv2": [0.5, 0.1, 0.4, 2], "conv5": [3, 0.3, 0.2, 0.6]}
    assert removed(VGG, scores, channels=4) == {"conv2": [1, 2], "conv5": [1, 2]}
    assert removed(VGG, scores, channels=0.1) == {"conv2": [1], "conv5": [1, 2]}  # of 32 channels


def test_ties_go_in_order() -> None:
    assert removed(VGG, {}, channels=5) == {"conv1": [0, 1, 2], "conv2": [0, 1]}


@pytest.mark.parametrize(("floor", "left"), [(1, 1), (3, 3), (0.5, 2), (0.51, 3)])
def test_floors(floor: float, left: int) -> None:
    gone = removed(VGG, {"conv3": [0.0] * 4}, channels=4, floor=floor)
    assert len(gone["conv3"]) == 4 - left
    assert sum(len(channels) for channels in gone.values()) == 4


def test_normalisation() -> None:
    scores, kept = np.array([3.0, 4.0, 5.0]), np.array([True, True, False])
    assert normalised(scores, kept, "none").tolist() == [3, 4, 5]
    assert normalised(scores, kept, "group-mean") == pytest.approx(scores / 3.5)
    assert normalised(scores, kept, "l2") == pytest.approx(scores / 5)
    assert normalised(np.zeros(3), kept, "l2").tolist() == [0, 0, 0]
    # a group of small scores is no longer the first to go
    small = {"conv4": [1e-3, 2e-3, 2e-3, 2e-3], "conv6": [1.0, 9.0, 9.0, 9.0]}
    assert removed(VGG, small, channels=2) == {"conv4": [0, 1]}
    assert removed(VGG, small, channels=2, normalisation="group-mean") == {"conv4": [0], "conv6": [0]}


def test_parts_of_a_grouped_conv_lose_equally_many() -> None:
    network = chain(ops.Conv(out_channels=6, kernel=1), ops.Conv(out_channels=4, kernel=1, groups=2))
    scores = {"x0": [0.4, 0.1, 0.6, 0.9, 0.0, 0.8], "x1": [0.2, 9, 9, 9]}
    # of x0 channels 1 and 4 (mean 0.05) go first, then 0 and 5 (0.6)
    assert removed(network, scores, channels=2) == {"x0": [1, 4]}
    assert removed(network, scores, channels=3) == {"x0": [0, 1, 4, 5]}  # one more, as they go together
    assert removed(network, scores, channels=9) == {"x0": [0, 1, 4, 5], "x1": [0, 2]}  # and no more: one in each part


def test_groups_that_cannot_lose_channels_are_left_out() -> None:
    normed = chain(ops.Conv(out_channels=4, kernel=1), ops.LayerNorm(), ops.Conv(out_channels=4, kernel=1))
    prunable = find_prunable(normed, PruneSettings())
    assert [group.name for group in prunable.groups] == ["x2"]
    assert "layer_norm depends on all of its channels" in prunable.left_out["x0"]
    (reason,) = find_prunable(make_network("vgg11:widths=4-4-4-4-4-4-4-3"), PruneSettings(floor=3)).left_out.values()
    assert reason == "it must keep all of its 3 channels"
    with pytest.raises(NetworkError, match="needs a width group that can lose channels, but the network has none; x0"):
        find_prunable(chain(ops.Conv(out_channels=4, kernel=1), ops.LayerNorm()), PruneSettings())


def test_a_conv_whose_parts_are_other_groups() -> None:
    """Each half of what it reads is one group: none can lose a channel alone."""
    sketch = Sketch((2, 4, 4))
    for name in ("a", "b"):
        sketch.add(name, ops.Conv(out_channels=4, kernel=1), "input")
    sketch.add("both", ops.Concat(), "a", "b")
    sketch.add("c", ops.Conv(out_channels=8, kernel=1, groups=2))
    sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=3))
    prunable = find_prunable(sketch.finish(), PruneSettings())
    assert [group.name for group in prunable.groups] == ["c"]
    assert set(prunable.left_out) == {"a", "b"}


def test_settings() -> None:
    paper, tiny = prune_preset("paper"), prune_preset("paper-tiny")
    assert (paper.channels, paper.batches, paper.batch_size, paper.pretrain_epochs) == (10, 50, 256, 10)
    assert (tiny.channels, tiny.batches, tiny.batch_size) == (10, 100, 100)
    assert (paper.momentum, paper.weight_decay, paper.stop_share, paper.at_floor) == (0.5, 5e-4, 0.95, "stop")
    assert [paper.rate_after(epoch) for epoch in (0, 9, 10, 25)] == [0.01, 0.01, 0.01 / 1.5, 0.01 / 1.5**2]
    assert paper.pretraining().learning_rate == 0.1
    assert prune_preset("ours", channels="0.05", floor="2").channels == 0.05
    assert all(field.description for field in PruneSettings.model_fields.values())
    for wrong in ({"channels": 0}, {"channels": 1.5}, {"floor": 0}, {"stop_share": 0}, {"batchs": 3}):
        with pytest.raises(ValidationError):
            PruneSettings(**wrong)
