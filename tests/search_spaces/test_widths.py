"""Widths up and down: the networks build and run; impossible widths are one clear line."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Architecture, NetworkError
from search_spaces.build import build
from search_spaces.sketch import Sketch
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import scale_widths, with_widths
from search_spaces.zoo import make_network
from tests.search_spaces import test_width_groups as by_hand
from tests.search_spaces.random_networks import networks


def grouped() -> Architecture:
    """Widths a (12, a multiple of 3), b (9, of 9) and c (4, of 4)."""
    sketch = Sketch((3, 4, 4))
    by_hand.grouped(sketch)
    return by_hand.finished(sketch)


def widths_of(network: Architecture) -> tuple[int, ...]:
    return find_width_groups(network).widths


@settings(max_examples=60)
@given(network=networks(), data=st.data())
def test_every_width_builds_and_runs(network: Architecture, data: st.DataObject) -> None:
    groups = find_width_groups(network)
    assert with_widths(network, groups.widths, groups) == network
    widths = [group.divisor * data.draw(st.integers(1, 8)) for group in groups.groups]
    changed = with_widths(network, widths)
    assert widths_of(changed) == tuple(widths)
    assert [(node.name, node.inputs) for node in changed.nodes] == [(node.name, node.inputs) for node in network.nodes]
    with torch.no_grad():
        assert build(changed).eval()(torch.rand(2, *network.input)).shape == (2, 3)


@pytest.mark.parametrize("widths", [(3, 9, 4), (24, 18, 40), np.array([6, 27, 8])], ids=str)
def test_widths_go_to_their_layers(widths: Any) -> None:
    network = with_widths(grouped(), widths)
    assert tuple(network.shapes[name][0] for name in ("a", "b", "c", "dw")) == (*widths, 4 * widths[1])
    assert network.output == grouped().output
    assert Architecture.from_json(network.to_json()) == network  # numpy's integers do not get in


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((12, 9), r"there must be 3 widths \(a=12, b=9, c=4\), but got 2"),
        ((12, 9, 4, 4), "there must be 3 widths .* but got 4"),
        ((), "there must be 3 widths .* but got 0"),
        ((0, 9, 4), "width of a must be an integer of at least 1, at most 2\\^24, but got 0"),
        ((12, -9, 4), "width of b must be an integer of at least 1, .* but got -9"),
        ((12, 9, True), "width of c must be an integer .* but got True"),
        ((12.0, 9, 4), "width of a must be an integer .* but got 12.0"),
        ((12, float("nan"), 4), "width of b must be an integer .* but got nan"),
        ((12, 9, "4"), "width of c must be an integer .* but got 4"),
        ((12, 9, None), "width of c must be an integer .* but got None"),
        ((3 * 2**24, 9, 4), "width of a must be an integer of at least 1, at most 2\\^24"),
        ((13, 9, 4), "width of a must be a multiple of 3, as its layers part it in groups, but got 13"),
        ((12, 6, 4), "width of b must be a multiple of 9"),
        ((12, 9, 2), "width of c must be a multiple of 4"),
    ],
)
def test_impossible_widths(widths: tuple[Any, ...], message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        with_widths(grouped(), widths)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("multiplier", "widths"),
    [
        (1, (12, 9, 4)),
        (1.0, (12, 9, 4)),
        (2.5, (30, 27, 12)),  # 22.5 is halfway between 18 and 27, and 10 between 8 and 12: up
        (0.374, (3, 9, 4)),  # 4.488 is nearer to 3 than to 6
        (0.375, (6, 9, 4)),  # halfway
        (0.01, (3, 9, 4)),  # never below one in each group
    ],
)
def test_scaled_widths_are_rounded(multiplier: float, widths: tuple[int, ...]) -> None:
    assert widths_of(scale_widths(grouped(), multiplier)) == widths


def test_scaled_resnet() -> None:
    network = make_network("resnet18")
    halved = scale_widths(network, 0.5)
    assert [2 * width for width in widths_of(halved)] == list(widths_of(network))
    assert halved.output == (1000,)
    assert scale_widths(halved, 2) == network


@pytest.mark.parametrize("multiplier", [0, -1, float("nan"), float("inf"), 2**24])
def test_impossible_multipliers(multiplier: float) -> None:
    with pytest.raises(NetworkError, match="a width multiplier must be positive, but got"):
        scale_widths(grouped(), multiplier)
    with pytest.raises(NetworkError, match=r"width of a must be .* at most 2\^24, but got"):
        scale_widths(grouped(), 2**23)
