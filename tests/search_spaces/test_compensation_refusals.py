"""What the approaches cannot edit: each condition says which one it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from search_spaces import (
    INPUT,
    Activation,
    Approach,
    Architecture,
    BudgetError,
    Conv,
    Flatten,
    Linear,
    NetworkError,
    Node,
    Pool,
    Ranges,
    count_cost,
    solve,
)
from search_spaces.ops import Add, Depthwise, Op, Select
from search_spaces.zoo import make_network
from search_spaces.zoo.lenet import lenet

CONV = Conv(out_channels=4, kernel=3)
SAME = Conv(out_channels=4, kernel=3, padding=1)
RELU = Activation(function="relu")
HEAD: list[tuple[str, Op]] = [
    ("flatten", Flatten()),
    ("hidden", Linear(out_features=5)),
    ("classifier", Linear(out_features=2)),
]
CHAIN = list[tuple[str, Op]]


def chain(*ops: Op, head: Sequence[tuple[str, Op]] = HEAD) -> Architecture:
    """Layers in a row, named after their places, and a classifier."""
    named = [*((f"n{i}", op) for i, op in enumerate(ops)), *head]
    sources = [INPUT, *(name for name, _ in named)]
    nodes = (Node(name=name, op=op, inputs=(source,)) for (name, op), source in zip(named, sources, strict=False))
    return Architecture(input=(2, 9, 9), nodes=tuple(nodes))


def two_readers() -> Architecture:
    nodes = [("a", CONV, (INPUT,)), ("b", CONV, (INPUT,)), ("sum", Add(), ("a", "b"))]
    tail = [("flatten", Flatten(), ("sum",)), ("classifier", Linear(out_features=2), ("flatten",))]
    built = (Node(name=name, op=op, inputs=inputs) for name, op, inputs in [*nodes, *tail])
    return Architecture(input=(2, 9, 9), nodes=tuple(built))


def tied() -> Architecture:
    """The second conv adds to what the first one gives."""
    nodes = [("a", SAME, (INPUT,)), ("b", SAME, ("a",)), ("sum", Add(), ("a", "b"))]
    tail = [("flatten", Flatten(), ("sum",)), ("classifier", Linear(out_features=2), ("flatten",))]
    built = (Node(name=name, op=op, inputs=inputs) for name, op, inputs in [*nodes, *tail])
    return Architecture(input=(2, 9, 9), nodes=tuple(built))


ALL: tuple[Approach, ...] = ("I", "II", "III", "IV")
REFUSED: list[tuple[Architecture, tuple[Approach, ...], str]] = [
    (
        chain(Pool(function="max", kernel=2, stride=2), CONV),
        ALL,
        r"needs a conv that reads the image, but 'n0' \(pool\) does",
    ),
    (chain(Depthwise(kernel=3), CONV), ALL, r"needs a conv that reads the image, but 'n0' \(depthwise\) does"),
    (two_readers(), ALL, r"needs one conv that reads the image, but a, b do"),
    (chain(Conv(out_channels=4, kernel=(3, 1)), CONV), ALL, r"needs square convs, but 'n0' has \(3, 1\)"),
    (chain(Conv(out_channels=4, kernel=3, stride=(1, 2)), CONV), ALL, r"needs square convs, but 'n0' has \(1, 2\)"),
    (chain(Conv(out_channels=4, kernel=3, padding=(1, 2)), CONV), ALL, r"needs square convs, but 'n0' has \(1, 2\)"),
    (chain(Conv(out_channels=4, kernel=3, groups=2), CONV), ALL, r"needs plain convs, but 'n0' has groups or dilation"),
    (
        chain(Conv(out_channels=4, kernel=3, dilation=2), CONV),
        ALL,
        r"needs plain convs, but 'n0' has groups or dilation",
    ),
    (chain(CONV), ("IV",), r"needs two convs, but the network has 1"),
    (chain(CONV, Conv(out_channels=4, kernel=(3, 1))), ("IV",), r"needs square convs, but 'n1' has \(3, 1\)"),
    (chain(CONV, Conv(out_channels=4, kernel=3, groups=2)), ("IV",), r"needs plain convs, but 'n1' has groups"),
    (
        chain(CONV, Pool(function="max", kernel=(2, 1), stride=1), CONV),
        ("IV",),
        r"square pools and depthwise convs before it, but 'n1' \(pool\) read\(s\) 'n0'",
    ),
    (
        chain(CONV, Depthwise(kernel=3, dilation=(1, 2)), CONV),
        ("IV",),
        r"square pools and depthwise convs before it, but 'n1' \(depthwise\) read\(s\) 'n0'",
    ),
    (tied(), ("IV",), r"needs 'b' to keep its filters, but they are as many as those of 'a'"),
    (
        chain(CONV, Select(indices=(0, 2)), CONV),
        ("I", "III"),
        r"needs 'n0' to have one width that can change, but its channels are fixed",
    ),
]


@pytest.mark.parametrize(
    ("base", "approach", "message"),
    [(base, approach, message) for base, approaches, message in REFUSED for approach in approaches],
)
def test_networks_that_it_cannot_edit(base: Architecture, approach: Approach, message: str) -> None:
    with pytest.raises(NetworkError, match=f"approach {approach} {message}" if approach != "IV" else message):
        solve(base, approach, resolutions=[12], network={"params": (1, 9)})


def test_the_others_still_edit_it() -> None:
    """A condition of the second conv is one of approach IV alone."""
    cost = count_cost(tied())
    for approach in ("II", "III"):
        solve(tied(), approach, resolutions=[12], network={"params": (1, cost.params)})
    solve(chain(CONV), "I", resolutions=[12], network={"params": (1, 400)})


def test_no_map_becomes_a_vector() -> None:
    base = Architecture(input=(1, 3, 3), nodes=(Node(name="a", op=Conv(out_channels=2, kernel=3), inputs=(INPUT,)),))
    with pytest.raises(NetworkError, match="approach I needs a map that becomes a vector before the classifier"):
        solve(base, "I", resolutions=[5], network={"params": (1, 9)})


def test_no_hidden_layer() -> None:
    base = make_network("mobilenet_v1", resolution=32, classes=3)
    with pytest.raises(NetworkError, match="approach I with scope layer needs a hidden linear layer"):
        solve(base, "I", resolutions=[64], layer={"flops": (1, 9)})


@pytest.mark.parametrize("approach", ALL)
def test_too_many_solutions(approach: Approach) -> None:
    base = lenet(channels1=30, hidden=5, resolution=14)
    windows: Mapping[str, tuple[int, int]] = {"activation_elements": (0, 10**9)}
    if approach == "II":  # it has no width: as many as combinations at most
        ranges = Ranges(stride=(1, 100), padding=(1, 1000), dilation=(1, 1000))
        with pytest.raises(NetworkError, match="the ranges must give at most 20,000,000 combinations, but give 100,0"):
            solve(base, approach, resolutions=[20], network=windows, ranges=ranges)
        return
    with pytest.raises(BudgetError, match=r"a budget must leave at most 5,000,000 networks, but [\d,]+ keep it"):
        solve(base, approach, resolutions=range(15, 29), network=windows)


@pytest.mark.parametrize("approach", ["III", "IV"])
def test_too_many_combinations(approach: Approach) -> None:
    """Said before anything of that size is made."""
    ranges = Ranges(kernel=(3, 10**6), stride=(1, 10**4), padding=(0, 10**5))
    with pytest.raises(NetworkError, match="the ranges must give at most 20,000,000 combinations, but give"):
        solve(lenet(), approach, resolutions=[30], network={"params": (1, 9)}, ranges=ranges)


def test_no_pool_can_be_built() -> None:
    """Padding of 3 is more than half of all kernels, but the equations allow it."""
    at: dict[str, Any] = {"resolutions": [16, 20], "network": {"params": (1, 9000)}}
    values: dict[str, Any] = {"kernel": (4, 5), "stride": (1, 2), "padding": (3, 3)}
    base = lenet(resolution=14, hidden=5)
    assert len(solve(base, "III", ranges=Ranges(**values), **at)) == 0
    assert len(solve(base, "III", ranges=Ranges(**values, any_pool_padding=True), **at)) > 0


@pytest.mark.parametrize("approach", ALL)
def test_nothing_to_look_at(approach: Approach) -> None:
    for resolutions, ranges in (([], Ranges()), ([15], Ranges(kernel=(3, 3), padding=(9, 9), stride=(5, 5)))):
        found = solve(lenet(resolution=14), approach, resolutions=resolutions, network={"macs": (1, 2)}, ranges=ranges)
        assert (len(found), found.enumerated) == (0, 0)
        assert found.nearest is None or (approach == "I" and resolutions)
