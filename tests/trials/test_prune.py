"""Pruning: masked and shrunk runs agree, a killed one goes on to the same end, the record keeps the rules."""

from typing import Any

import numpy as np
import pytest
import torch

from search_spaces import Architecture, count_cost
from search_spaces.batch_cost import BatchCost
from search_spaces.build import build
from search_spaces.edits import with_classes, with_resolution
from search_spaces.kept import kept_channels
from search_spaces.shrink import shrink
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from tests.trials.test_train import NETWORK, bright_quarters
from trials.checkpoint import weights_bytes
from trials.optimize import of_part
from trials.prune import Pruning
from trials.prune_settings import PruneSettings
from trials.train import TrainingDiverged

torch.set_num_threads(1)


def small(name: str, share: float = 1 / 16, side: int = 8) -> Architecture:
    made = make_network(name)
    return with_classes(with_resolution(made if "widths" in name else scale_widths(made, share), side), 4)


RESNET = "preact_resnet18:widths=" + "-".join("66666888866668888")
NETWORKS = {
    "plain, no norm": NETWORK,
    "plain": small("vgg11:widths=6-8-8-8-8-8-8-8", side=32),
    "independent": small(RESNET),
    "coupled": small("preact_resnet18:shortcuts=coupled,widths=" + "-".join("66666888888888888")),
    "conv shortcuts": small("preact_resnet18:shortcuts=conv,widths=" + "-".join("66666888866668888")),
    "post-activation": small("resnet18:stem=32"),
    "expand": small("neuralscale_mobilenetv2:widths=" + "-".join("4455446644556644558"[i] for i in range(19))),
    "depthwise": small("mobilenet_v2:stem=32", 1 / 16, side=16),
    "squeeze-excite": small("mobilenet_v3_small:stem=32", 1 / 4),
}
DEEP = ("expand", "depthwise", "squeeze-excite")
QUICK: dict[str, Any] = {
    "pretrain_epochs": 0,
    "batch_size": 20,
    "batches": 2,
    "channels": 4,
    "precision": "fp64",
    "learning_rate": 0.01,
}


def pruning(architecture: Architecture, seed: int = 0, **changes: Any) -> Pruning:
    side, channels = architecture.resolution, architecture.input[0]
    data = bright_quarters(80, channels)
    if side != 8:
        pixels = data.pixels.repeat(side // 8, axis=2).repeat(side // 8, axis=3)
        data = type(data)(pixels=pixels, indices=data.indices, labels=data.labels, mean=data.mean, std=data.std)
    return Pruning(architecture, data, PruneSettings(**{**QUICK, **changes}), seed=seed)


def run(pruned: Pruning, steps: int = 10**6) -> Pruning:
    for _ in range(steps):
        if pruned.finished:
            break
        pruned.run_step()
    return pruned


@pytest.mark.parametrize("name", NETWORKS)
def test_masked_is_shrunk(name: str) -> None:
    """Channels, rows, weights and momentum of what is left."""
    options: dict[str, Any] = {"channels": 0.08}
    steps = 20
    if name in DEEP:  # fifty layers, most at 1 px, where rounding can grow tenfold in a step
        options, steps = {**options, "batch_size": 80, "batches": 1}, 5
    shrunk, masked = (
        run(pruning(without_dropout(NETWORKS[name]), mask_only=only, **options), steps) for only in (False, True)
    )
    assert shrunk.rows == masked.rows
    assert shrunk.rows or name in DEEP
    assert [list(flags) for flags in shrunk.kept.values()] == [list(flags) for flags in masked.kept.values()]
    assert shrunk.losses == pytest.approx(masked.losses, rel=1e-8)
    for part in ("network", "momentum"):
        given = of_part(shrunk.state(), part)
        whole = build(masked.architecture).double()
        whole.load_state_dict({**whole.state_dict(), **of_part(masked.state(), part)})
        expected = shrink(whole, masked.kept).state_dict()
        for key, value in given.items():
            assert torch.allclose(value, expected[key], rtol=1e-6, atol=1e-8), key
    assert count_cost(shrunk.remaining).params < count_cost(masked.remaining).params


def without_dropout(architecture: Architecture) -> Architecture:
    """Fewer channels draw other random numbers."""
    data = architecture.to_json()
    for node in data["nodes"]:
        if node["op"] == "dropout":
            node["share"] = 0.0
    return Architecture.from_json(data)


@pytest.mark.parametrize("name", ["coupled", "post-activation", "depthwise"])
def test_a_residual_sum_is_never_separated(name: str) -> None:
    pruned = pruning(NETWORKS[name], channels=0.1)
    groups = find_width_groups(pruned.architecture).groups
    assert any(len(group.layers) > 1 for group in groups)
    while not pruned.finished:
        pruned.run_step()
        kept = kept_channels(pruned.architecture, pruned.kept)
        for group in groups:
            assert len({tuple(kept[layer]) for layer in group.layers}) == 1
        shapes = pruned.remaining.shapes
        assert all(shapes[layer][0] == kept[layer].sum() for layer in kept if layer in shapes)
    if name == "post-activation":
        assert not [node for node in pruned.remaining.nodes if node.op.kind == "select"]


def test_rows_are_networks_of_these_widths() -> None:
    pruned = run(pruning(NETWORKS["independent"]))
    widths = np.array([row.widths for row in pruned.rows])
    costs = BatchCost(pruned.architecture).costs(widths)
    assert [(row.params, row.macs, row.activation_elements) for row in pruned.rows] == [tuple(row) for row in costs]
    assert (np.diff(widths, axis=0) <= 0).all()
    chosen = small("preact_resnet18:widths=" + "-".join(map(str, pruned.rows[0].widths)))
    assert count_cost(chosen).params == pruned.rows[0].params
    assert pruned.rows[-1].to_json()["widths"] == list(pruned.widths)


def test_recording_starts_when_every_group_has_lost_a_channel() -> None:
    pruned = pruning(NETWORKS["plain"])
    start, first = np.array(pruned.widths), None
    while not pruned.finished:
        pruned.run_step()
        if first is None and (np.array(pruned.widths) < start).all():
            first = len(pruned.losses)
    assert first is not None
    assert [row.step for row in pruned.rows] == list(range(first, len(pruned.losses) + 1))


@pytest.mark.parametrize("at_floor", ["stop", "leave-out"])
def test_ends(at_floor: str) -> None:
    pruned = run(pruning(NETWORKS["plain"], at_floor=at_floor, floor=2, channels=3, stop_share=0.7))
    widths, total = pruned.widths, 62
    assert min(widths) == 2
    if at_floor == "leave-out":
        assert 0.7 * total <= total - sum(widths) < 0.7 * total + 3
    else:
        assert total - sum(widths) < 0.7 * total
    assert sum(run(pruning(NETWORKS["plain"], floor=2, stop_share=1)).widths) == 16  # nothing more can go


def test_continued_to_the_same_end() -> None:
    options: dict[str, Any] = {"pretrain_epochs": 2, "precision": "fp32", "augmentation": "crop-flip", "channels": 6}
    through = run(pruning(NETWORKS["independent"], **options))
    again = pruning(NETWORKS["independent"], **options)
    steps = 0
    while not again.finished:
        again.run_step()
        steps += 1
        if steps in (1, 2, 3, 7):  # in the pre-training, at the begin of the pruning, in it
            state = {name: tensor.clone() for name, tensor in again.state().items()}
            weights_bytes(state)  # can be kept in a file
            again = pruning(NETWORKS["independent"], **options)
            again.load_state(state)
    assert again.rows == through.rows
    assert again.losses == through.losses
    assert again.pretraining_losses == through.pretraining_losses
    first, second = through.weights(), again.weights()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_masked_continued() -> None:
    through = run(pruning(NETWORKS["coupled"], mask_only=True), 6)
    state = run(pruning(NETWORKS["coupled"], mask_only=True), 3).state()
    again = pruning(NETWORKS["coupled"], mask_only=True)
    again.load_state(state)
    run(again, 3)
    assert again.losses == through.losses
    assert all(torch.equal(value, again.state()[name]) for name, value in through.state().items())


def test_equal_seeds_equal_records_with_dropout_too() -> None:
    random_state = torch.get_rng_state()
    first, again, other = (run(pruning(NETWORK, seed), 4) for seed in (5, 5, 6))
    assert first.losses == again.losses != other.losses
    assert first.rows == again.rows
    torch.set_rng_state(random_state)


def test_given_weights_are_where_it_begins() -> None:
    torch.manual_seed(3)
    weights = build(NETWORKS["plain"]).state_dict()
    example = pruning(NETWORKS["plain"])
    given = Pruning(example.architecture, example._data, example.settings, seed=0, start=weights)
    assert all(torch.equal(value.to(weights[name].dtype), weights[name]) for name, value in given.weights().items())


def test_a_network_without_norm_says_so() -> None:
    assert pruning(NETWORK).without_norm == ("conv1", "conv2", "hidden")
    assert pruning(NETWORKS["plain"]).without_norm == ()


def test_divergence() -> None:
    quick: dict[str, Any] = {"pretrain_epochs": 1, "precision": "fp32"}
    with pytest.raises(
        TrainingDiverged, match=r"loss of the pre-training must .*after epoch 1; lower pretrain_learning_rate"
    ):
        run(pruning(NETWORK, pretrain_learning_rate=1000, momentum=0.99, **quick), 1)
    with pytest.raises(TrainingDiverged, match=r"must end below 2\.77, twice that of guessing, but is"):
        run(pruning(NETWORK, pretrain_learning_rate=30, momentum=0.9, **quick), 1)
    with pytest.raises(TrainingDiverged, match="must stay finite, but is nan in step 1; lower its learning_rate"):
        run(pruning(NETWORK, learning_rate=1000, momentum=0.99, weight_decay=1, batches=60), 1)
