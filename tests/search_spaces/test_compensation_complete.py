"""Approaches II, III and IV: exactly what nested loops find, on random LeNets, conditions and ranges."""

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from search_spaces import (
    Approach,
    Architecture,
    Conv,
    LeNet,
    Ranges,
    apply_solution,
    count_edited_layers,
    relative_miss,
    solve,
    window,
)
from search_spaces.compensation import COUNTS
from search_spaces.windows import Windows
from tests.search_spaces.brute_force import brute_force, equation_counts, network_counts, networks, rows_of, within

RANGES = Ranges(kernel=(2, 4), stride=(1, 2), padding=(0, 1), dilation=(1, 3))
NAMES = st.sets(st.sampled_from(COUNTS), min_size=1)


@st.composite
def bases(draw: st.DrawFn) -> Architecture:
    """Small LeNets, with pools or without."""
    side = draw(st.integers(9, 12))
    conv1 = Conv(
        out_channels=draw(st.integers(2, 6)), kernel=2, bias=draw(st.booleans()), padding=draw(st.integers(0, 1))
    )
    conv2 = Conv(out_channels=draw(st.integers(1, 5)), kernel=3, bias=draw(st.booleans()))
    network = LeNet(conv1=conv1, conv2=conv2, hidden=draw(st.integers(1, 5)), pool=draw(st.booleans()))
    return network.architecture((draw(st.integers(1, 3)), side, side), 3)


def edited_layers(base: Architecture, approach: Approach) -> list[str]:
    """Names from the first conv to the last layer that may change its sides."""
    if approach != "IV":
        return ["conv1"]
    names = [node.name for node in base.nodes]
    return names[: names.index("conv2") + 1]


def draw_windows(draw: st.DrawFn, counts: dict[str, int], names: set[str]) -> Windows:
    """Around one bound for all, on one side or both."""
    share = draw(st.sampled_from([0.9, 1.0, 1.1, 1.3]))
    tolerance, two_sided = draw(st.sampled_from([0.0, 0.1, 0.4])), draw(st.booleans())
    return {name: window(math.floor(counts[name] * share), tolerance, two_sided=two_sided) for name in sorted(names)}


@pytest.mark.parametrize("approach", ["II", "III", "IV"])
@settings(max_examples=15)
@given(base=bases(), names=NAMES, layer_names=st.one_of(st.just(set[str]()), NAMES), data=st.data())
def test_complete(approach: Approach, base: Architecture, names: set[str], layer_names: set[str], data: Any) -> None:
    edited, draw = edited_layers(base, approach), data.draw
    found_at: dict[str, Any] = {"resolutions": [base.resolution + 1, base.resolution + 3], "ranges": RANGES}
    layer = draw_windows(draw, dict(count_edited_layers(base, approach)), layer_names)
    whole: Windows = {}
    if not layer_names or draw(st.booleans()):
        whole = draw_windows(draw, network_counts(base), names)
    found = solve(base, approach, network=whole, layer=layer, **found_at)
    assert found.free[-1] == ("dilation1" if approach == "II" else "channels1")
    widest = [int(row[-1]) for row in rows_of(found)] if approach != "II" else []
    assert rows_of(found) == brute_force(
        base, approach, edited, network=whole, layer=layer, widths=range(1, max([12, *widest]) + 3), **found_at
    )
    for i in range(0, len(found), len(found) // 10 + 1):
        row = found.row(i)
        assert network_counts(apply_solution(base, approach, row)) == {name: row[name] for name in COUNTS}


@pytest.mark.parametrize("approach", ["II", "III", "IV"])
@given(base=bases())
def test_edited_layers_of_the_base(approach: Approach, base: Architecture) -> None:
    assert count_edited_layers(base, approach) == equation_counts(base, base, approach, edited_layers(base, approach))


@pytest.mark.parametrize("approach", ["II", "III", "IV"])
@settings(max_examples=40)
@given(
    base=bases(),
    names=NAMES,
    share=st.sampled_from([0.3, 0.8, 1.0, 1.7, 3.0]),
    low=st.sampled_from([0.0, 0.97, 1.0]),
)
def test_what_was_looked_at_and_the_nearest(
    approach: Approach, base: Architecture, names: set[str], share: float, low: float
) -> None:
    counts = network_counts(base)
    windows = {name: (math.ceil(low * share * counts[name]), math.floor(share * counts[name])) for name in names}
    ranges = Ranges(kernel=(3, 4), stride=(1, 2), padding=(0, 1), dilation=(1, 2))
    at: dict[str, Any] = {"resolutions": [base.resolution + 2], "ranges": ranges}
    found = solve(base, approach, network=windows, **at)
    edited, most = edited_layers(base, approach), 40
    everything = [
        (row.get("channels1"), network_counts(built))
        for row, built in networks(base, approach, edited, widths=range(1, most + 1), **at)
    ]
    upper = {name: (0, bounds[1]) for name, bounds in windows.items()}
    below = [width for width, counted in everything if within(counted, upper)]
    assume(most not in below)  # or there are more
    assert found.enumerated == len(below)
    assert len(found) == sum(within(counted, windows) for _, counted in everything)
    misses = [max(relative_miss(counted[name], *windows[name]) for name in names) for _, counted in everything]
    if len(found) or not misses:
        assert found.nearest is None
        return
    assert found.nearest is not None
    built = network_counts(apply_solution(base, approach, found.nearest))
    assert built == {name: found.nearest[name] for name in COUNTS}
    assert max(relative_miss(built[name], *windows[name]) for name in names) == pytest.approx(min(misses))
