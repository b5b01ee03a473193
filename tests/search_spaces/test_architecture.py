"""Networks as data: JSON both ways, ids, and errors that name the node."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import INPUT, Architecture, Conv, Dropout, Flatten, LeNet, Linear, NetworkError, Node, Pool
from search_spaces.ops import Add
from tests.search_spaces.random_exits import early, networks_with_exits


def lenet(channels: int = 30, *, pool: bool = False, resolution: int = 14) -> Architecture:
    convs = {"conv1": Conv(out_channels=channels, kernel=3), "conv2": Conv(out_channels=channels, kernel=5)}
    return LeNet(**convs, hidden=50, pool=pool).architecture((1, resolution, resolution), 10)


def test_shapes_along_the_network() -> None:
    shapes = lenet(pool=True, resolution=28).shapes
    assert shapes["conv1"] == (30, 26, 26)
    assert shapes["pool1"] == (30, 13, 13)
    assert shapes["conv2"] == (30, 9, 9)
    assert shapes["flatten"] == (30 * 4 * 4,)
    assert lenet().output == (10,)


@given(network=networks_with_exits())
def test_steps_free_each_value_once_after_its_last_reader(network: Architecture) -> None:
    held = {INPUT}
    for (name, reads, unread), node in zip(network.steps, network.nodes, strict=True):
        assert name == node.name
        assert held.issuperset(reads)
        assert set(unread) <= set(reads)
        held = held - set(unread) | ({name} - network.unread)
    assert held <= {INPUT}  # which need not be read
    read = {source for node in network.nodes for source in network.reads(node)}
    assert network.unread == {node.name for node in network.nodes} - read


@given(network=networks_with_exits())
def test_exits_in_json(network: Architecture) -> None:
    """The key stands only where there are exits, so ids of networks without any stay."""
    data = network.to_json()
    assert ("exits" in data) == bool(network.exits)
    again = Architecture.from_json(data)
    assert (again, again.id) == (network, network.id)
    plain = Architecture.from_json(lenet().to_json() | {"exits": []})
    assert plain.id == lenet().id


def test_exits_are_part_of_the_id() -> None:
    network = early()
    scores = Node(name="mean", op=Add(), inputs=("early", "late"))  # so that both are read
    ids = {
        Architecture(input=network.input, nodes=(*network.nodes, scores), exits=exits).id
        for exits in [(), ("early",), ("late",), ("early", "late")]
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("exits", "message"),
    [
        (["ear"], "exits must be nodes before the last one, which is the last exit anyway, but 'ear' is none"),
        (["late"], "exits must be nodes before the last one, .* but 'late' is none"),
        ([INPUT], "exits must be nodes before the last one, .* but 'input' is none"),
        (["early", "early"], "exits must differ and stand in execution order, but are early, early"),
        (["early", "stem"], r"must give one score a class as the last node, but 'stem' gives \(8, 8, 8\) and the last"),
        (["early_flatten", "early"], r"but 'early_flatten' gives \(8,\) and the last node \(5,\)"),
        ([], "every node but the last must be read, but nothing reads 'early'"),
        ("early", "exits must be a list of names of nodes, but got 'early'"),
        ([["early"]], "exits must be a list of names of nodes"),
        (None, "exits must be a list of names of nodes, but got None"),
    ],
)
def test_wrong_exits(exits: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Architecture.from_json(early().to_json() | {"exits": exits})


def test_exits_are_vectors_in_order() -> None:
    convs = tuple(
        Node(name=name, op=Conv(out_channels=3, kernel=1), inputs=(source,))
        for name, source in (("a", INPUT), ("b", "a"), ("c", "b"))
    )
    with pytest.raises(NetworkError, match=r"'a' gives \(3, 2, 2\) and the last node \(3, 2, 2\)"):
        Architecture(input=(3, 2, 2), nodes=convs, exits=("a",))
    flat = Node(name="flat", op=Flatten(), inputs=(INPUT,))
    linears = tuple(
        Node(name=name, op=Linear(out_features=3), inputs=(source,))
        for name, source in (("a", "flat"), ("b", "a"), ("c", "b"))
    )
    assert Architecture(input=(3, 2, 2), nodes=(flat, *linears), exits=("a", "b")).answers == ("a", "b", "c")
    with pytest.raises(NetworkError, match="exits must differ and stand in execution order, but are b, a"):
        Architecture(input=(3, 2, 2), nodes=(flat, *linears), exits=("b", "a"))


@given(channels=st.integers(1, 64), pool=st.booleans(), resolution=st.integers(16, 40))
def test_json_both_ways(channels: int, pool: bool, resolution: int) -> None:
    network = lenet(channels, pool=pool, resolution=resolution)
    again = Architecture.from_json(network.to_json())
    assert again == network
    assert again.id == network.id


def test_id_is_of_the_content() -> None:
    assert lenet().id == lenet().id == "2cae0af0efd45b6e"  # golden: a stored search knows its networks by these
    assert len({lenet().id, lenet(29).id, lenet(resolution=15).id, lenet(pool=True).id}) == 4


def test_impossible_network_names_the_node() -> None:
    with pytest.raises(NetworkError, match="node 'conv2': conv: the kernel must fit into the padded input"):
        lenet(resolution=6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": [1, 0, 0]}, "input must be three positive integers"),
        ({"input": [1, 14, 15]}, "input must be square"),
        ({"input": "abc"}, "input must be three"),
        ({"nodes": []}, "at least one node"),
        ({"nodes": None}, "must have 'input' and 'nodes'"),
        ({"nodes": [{"name": "a", "inputs": ["b"], "op": "flatten"}]}, "node 'a' must read one earlier node"),
        ({"nodes": [{"name": "a b", "inputs": [INPUT], "op": "flatten"}]}, "node names must be letters"),
        ({"nodes": [{"name": INPUT, "inputs": [INPUT], "op": "flatten"}]}, "node names must be letters"),
        ({"nodes": [{"name": "a", "inputs": [INPUT], "op": "attention"}]}, "node 'a': op must be one of"),
        ({"nodes": [{"name": ["a"], "inputs": [INPUT], "op": "flatten"}]}, "node names must be letters"),
        ({"nodes": [{"name": "a", "inputs": [[INPUT]], "op": "flatten"}]}, "node 'a' must read one earlier node"),
        (
            {"nodes": [{"name": "a", "inputs": [INPUT], "op": "conv", "kernel": 1, "out_channels": 2**70}]},
            "at most 2\\^24",
        ),
        ({"nodes": [{"name": "a", "inputs": [INPUT], "op": "flatten", "x": 1}]}, "node 'a': flatten: fields must be"),
        ({"nodes": [{"name": "a", "inputs": [INPUT], "op": "linear", "out_features": 3}]}, "flatten it first"),
        ({"nodes": [{"name": n, "inputs": [INPUT], "op": "flatten"} for n in "ab"]}, "nothing reads 'a'"),
    ],
)
def test_bad_json_is_a_clear_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Architecture.from_json(lenet().to_json() | change)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Conv(out_channels=0, kernel=3),
            "out_channels must be an integer of at least 1, at most 2\\^24, but got 0",
        ),
        (lambda: Conv(out_channels=3, kernel=True), "kernel must be an integer"),
        (lambda: Conv(out_channels=3, kernel=3, padding=-1), "padding must be an integer of at least 0"),
        (lambda: Pool(function="max", kernel=2, stride=2, padding=2), "padding must be at most half the kernel"),
        (lambda: Pool(function="median", kernel=2, stride=2), "max or average"),  # type: ignore[arg-type]
        (lambda: Dropout(share=1.0), "share must be a float from 0 to below 1"),
    ],
)
def test_ops_check_themselves(make: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()


def test_groups_must_divide_channels() -> None:
    node = Node(name="a", op=Conv(out_channels=4, kernel=1, groups=2), inputs=(INPUT,))
    with pytest.raises(NetworkError, match="node 'a': conv: groups must divide"):
        Architecture(input=(3, 8, 8), nodes=(node,))


def test_with_ops_keeps_the_rest() -> None:
    wider = lenet().with_ops({"conv1": Conv(out_channels=7, kernel=3)}, resolution=14)
    assert wider.shapes["conv1"] == (7, 12, 12)
    assert wider.shapes["conv2"] == lenet().shapes["conv2"]
    assert wider.resolution == 14
