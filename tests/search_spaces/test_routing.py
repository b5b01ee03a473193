"""Routed networks against running everything: the same answers and exits, with less computed.

N images, C channels, H and W sides.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces import Architecture, NetworkError
from search_spaces.build import Network, build
from search_spaces.edits import with_classes, with_resolution
from search_spaces.multi_scale import multi_scale
from search_spaces.parallel import parallel
from search_spaces.routing import RoutedNetwork, confidences
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from search_spaces.zoo.isometric import isometric
from tests.search_spaces.random_exits import early
from tests.search_spaces.random_stages import staged_networks
from tests.search_spaces.trained_networks import trained
from trials.images import Preprocess

CLASSES = 5


class Resized(nn.Module):
    """uint8 [N, C, H, W] to float64 [N, C, side, side]."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(images.double() / 255, (self.side, self.side), mode="bilinear")


def pixels(count: int, side: int = 20) -> Tensor:
    """uint8 [N, C, H, W]."""
    torch.manual_seed(3)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)


def routed(networks: Sequence[Network], thresholds: Sequence[float], temperatures: Any = None) -> RoutedNetwork:
    preprocessing = [Resized(network.architecture.resolution) for network in networks]
    ones = [1.0] * len(thresholds)
    return RoutedNetwork(networks, preprocessing, thresholds=thresholds, temperatures=temperatures or ones).eval()


def all_scores(networks: Sequence[Network], images: Tensor) -> list[Tensor]:
    """Of every exit on all images [N, classes], without any routing."""
    return [
        scores for network in networks for scores in network.exits(Resized(network.architecture.resolution)(images))
    ]


def largest_share(scores: Tensor, temperature: float) -> list[float]:
    """The largest softmax of each row, in numpy."""
    scaled = scores.double().numpy() / temperature
    exponentials = np.exp(scaled - scaled.max(1, keepdims=True))
    return list(exponentials.max(1) / exponentials.sum(1))


def small(*, exits: bool, side: int = 16, seed: int = 0) -> Network:
    """With an early exit or without."""
    network = early(side) if exits else make_network("lenet", resolution=side, classes=CLASSES, channels=3)
    return trained(network, seed=seed).eval()


def cascade() -> list[Network]:
    return [small(exits=False, side=side, seed=side) for side in (8, 12, 16)]


def mixture() -> list[Network]:
    return [
        small(exits=False, side=8),
        trained(multi_scale(with_resolution(early_without(), 16)), seed=1).eval(),
        small(exits=True, side=24),
    ]


def early_without() -> Architecture:
    """The network with an early exit, without it."""
    network = early()
    return Architecture(
        input=network.input, nodes=tuple(node for node in network.nodes if not node.name.startswith("early"))
    )


def replicas() -> list[Network]:
    """An MSNet of a network that sees each image as four."""
    base = parallel(isometric(depth=1, multiplier=0.1, internal=4, resolution=8, classes=CLASSES), 2, "batch-first")
    return [trained(multi_scale(base)).eval()]


SETS = {"early": lambda: [small(exits=True)], "cascade": cascade, "mixture": mixture, "replicas": replicas}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 30.0])
@pytest.mark.parametrize("name", SETS)
def test_answers_are_those_of_running_everything(name: str, temperature: float) -> None:
    """Thresholds between the confidences that occur, so that some images stay at each exit."""
    networks, images = SETS[name](), pixels(12)
    with torch.no_grad():
        scores = all_scores(networks, images)
        shares = [largest_share(values, temperature) for values in scores[:-1]]
        thresholds = [float(np.mean(sorted(values)[7:9])) for values in shares]
        given_, exits = routed(networks, thresholds, [temperature] * len(thresholds)).route(images)
    expected = [
        next((i for i, values in enumerate(shares) if values[row] > thresholds[i]), len(shares))
        for row in range(len(images))
    ]
    assert exits.tolist() == expected
    assert len(set(expected)) == len(scores)
    assert exits.dtype == torch.int64
    wanted = torch.stack([scores[number][row] for row, number in enumerate(expected)])
    assert torch.allclose(given_, wanted, rtol=1e-9, atol=1e-9)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(base=staged_networks(), share=st.floats(0.2, 0.8), seed=st.integers(0, 99))
def test_batches_are_as_single_images(base: Architecture, share: float, seed: int) -> None:
    networks = [trained(multi_scale(base), seed=seed).eval()]
    images = pixels(5)
    with torch.no_grad():
        first = confidences(all_scores(networks, images)[0])
        threshold = float(first.quantile(share))
        network = routed(networks, [threshold])
        scores, exits = network.route(images)
        assert torch.equal(network(images), scores)
        for row in range(len(images)):
            if abs(float(first[row]) - threshold) > 1e-9:  # or rounding decides
                alone, exit_alone = network.route(images[row : row + 1])
                assert torch.allclose(alone[0], scores[row], rtol=1e-9, atol=1e-9)
                assert exit_alone.tolist() == [int(exits[row])]


@pytest.mark.parametrize("name", SETS)
def test_thresholds_0_and_1_are_exact(name: str) -> None:
    networks, images = SETS[name](), pixels(4)
    with torch.no_grad():
        scores = all_scores(networks, images)
        last = len(scores) - 1
        for thresholds, answered in (
            ([0.0] * last, 0),
            ([1.0] * last, last),
            ([1.0, *[0.0] * (last - 1)], min(1, last)),
        ):
            given_, exits = routed(networks, thresholds).route(images)
            assert torch.equal(given_, scores[answered])
            assert exits.tolist() == [answered] * len(images)


def test_sure_scores_are_not_above_1() -> None:
    """A softmax that rounds to 1 is not strictly above a threshold of 1; one of 1 / classes is above 0."""
    sure = torch.tensor([[1e4, 0.0, 0.0], [0.0, 0.0, 0.0], [1e300, -1e300, 0.0]], dtype=torch.float64)
    assert confidences(sure).tolist() == [1, pytest.approx(1 / 3), 1]
    odd = torch.tensor([[torch.nan, 0.0], [torch.inf, 0.0], [-torch.inf, -torch.inf]])
    assert confidences(odd).tolist() == [0.5, 0.5, 0.5]
    assert confidences(odd).dtype == torch.float64
    assert confidences(torch.zeros(0, 3)).shape == (0,)


@given(rows=st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=4), t=st.floats(0.1, 9))
def test_confidences_are_a_softmax(rows: list[list[float]], t: float) -> None:
    scores = torch.tensor(rows)
    assert confidences(scores, t).tolist() == pytest.approx(largest_share(scores, t), rel=1e-12)


def test_the_threshold_itself_is_not_enough() -> None:
    networks, images = [small(exits=True)], pixels(6)
    with torch.no_grad():
        first = confidences(all_scores(networks, images)[0])
        threshold = float(first.sort().values[2])
        exits = routed(networks, [threshold]).route(images)[1]
    assert exits.tolist() == [int(value <= threshold) for value in first.tolist()]
    assert exits.sum() == 3


# --- what runs


def batch_sizes(network: RoutedNetwork) -> dict[str, list[int]]:
    """Of every layer and preprocessing the numbers of images that it sees, to be filled by the next run."""
    seen: dict[str, list[int]] = {}

    def count(name: str) -> Any:
        return lambda module, inputs: seen.setdefault(name, []).append(len(inputs[0]))

    for i, (built, before) in enumerate(zip(network.networks, network.preprocessing, strict=True)):
        before.register_forward_pre_hook(count(f"{i} images"))
        for name, layer in built.named_children():
            layer.register_forward_pre_hook(count(f"{i} {name}"))
    return seen


def test_each_layer_runs_once_on_the_images_that_are_left() -> None:
    networks, images = mixture(), pixels(8)
    with torch.no_grad():
        shares = [confidences(scores) for scores in all_scores(networks, images)[:-1]]
        network = routed(networks, [float(values.quantile(0.7)) for values in shares])
        seen = batch_sizes(network)
        exits = network.route(images)[1]
    left = [int((exits >= number).sum()) for number in range(5)]
    assert left == sorted(left, reverse=True)
    assert left[4] > 0
    assert seen.pop("0 images") == seen.pop("0 conv1") == [left[0]]
    assert seen["1 images"] == seen["1 low_stem"] == [left[1]]
    assert seen["1 high_stem"] == seen["1 high_stage1_up"] == [left[2]]
    assert seen["2 images"] == seen["2 stem"] == seen["2 early"] == [left[3]]
    assert seen["2 down"] == seen["2 late"] == [left[4]]
    assert all(len(sizes) == 1 for sizes in seen.values())


def test_nothing_runs_for_images_that_are_answered() -> None:
    network = routed(mixture(), [0.0, 1.0, 1.0, 1.0])
    seen = batch_sizes(network)
    network.route(pixels(3))
    assert {name.partition(" ")[0] for name in seen} == {"0"}
    within = routed([small(exits=True)], [0.0])
    seen = batch_sizes(within)
    within.route(pixels(3))
    assert "0 early" in seen
    assert "0 down" not in seen


@pytest.mark.parametrize("name", SETS)
def test_no_images(name: str) -> None:
    networks = SETS[name]()
    count = sum(len(network.architecture.answers) for network in networks)
    network = routed(networks, [0.5] * (count - 1))
    seen = batch_sizes(network)
    scores, exits = network.route(pixels(0))
    assert (scores.shape, scores.dtype) == ((0, CLASSES), torch.float64)
    assert (exits.shape, exits.dtype) == ((0,), torch.int64)
    assert not seen


def test_one_network_with_one_exit_needs_no_settings() -> None:
    network = small(exits=False)
    with torch.no_grad():
        scores, exits = routed([network], []).route(pixels(3))
        assert torch.equal(scores, network(Resized(16)(pixels(3))))
    assert exits.tolist() == [0, 0, 0]


def test_images_of_any_side_through_the_projects_preprocessing() -> None:
    base = scale_widths(make_network("mobilenet_v1:stem=32", classes=CLASSES), 0.125)
    network = trained(multi_scale(base), dtype=torch.float32).eval()
    before = Preprocess(32, [0.5, 0.4, 0.3], [0.2, 0.2, 0.2])
    both = RoutedNetwork([network], [before], thresholds=[1.0], temperatures=[2.0]).eval()
    images = pixels(2, side=41)
    with torch.no_grad():
        assert torch.equal(both(images), network(before(images)))
    assert set(both.state_dict()) == {f"networks.0.{name}" for name in network.state_dict()}


# --- what cannot be


@pytest.mark.parametrize(
    ("thresholds", "temperatures", "message"),
    [
        ([], [1.0], "every exit but the last needs a threshold and a temperature, 1 of each, but there are 0 and 1"),
        ([0.5], [1.0, 1.0], "1 of each, but there are 1 and 2"),
        ([1.5], [1.0], "a threshold must be a number from 0 to 1, but got 1.5"),
        ([-0.1], [1.0], "a threshold must be a number from 0 to 1, but got -0.1"),
        ([float("nan")], [1.0], "a threshold must be a number from 0 to 1, but got nan"),
        ([0.5], [0.0], "a temperature must be a positive number, but got 0.0"),
        ([0.5], [float("inf")], "a temperature must be a positive number, but got inf"),
    ],
)
def test_wrong_settings(thresholds: list[float], temperatures: list[float], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        RoutedNetwork([build(early())], [Resized(16)], thresholds=thresholds, temperatures=temperatures)


def test_wrong_networks() -> None:
    network = build(early())
    with pytest.raises(NetworkError, match="one or more networks and a preprocessing for each, but there are 0 and 0"):
        RoutedNetwork([], [], thresholds=[], temperatures=[])
    with pytest.raises(NetworkError, match="but there are 1 and 2"):
        RoutedNetwork([network], [Resized(16)] * 2, thresholds=[0.5], temperatures=[1.0])
    other = build(with_classes(early(), 3))
    with pytest.raises(NetworkError, match=r"must give scores of the same classes, but give \(5,\), \(3,\)"):
        RoutedNetwork([network, other], [Resized(16)] * 2, thresholds=[0.5] * 3, temperatures=[1.0] * 3)
    with pytest.raises(NetworkError, match=r"must give a network its input \(3, 16, 16\), but gives \(3, 15, 15\)"):
        RoutedNetwork([network], [Resized(15)], thresholds=[0.5], temperatures=[1.0]).route(pixels(1))
