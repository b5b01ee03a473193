"""Cuts of a graph against their definition."""

from hypothesis import given

from search_spaces import INPUT, Architecture
from search_spaces.cuts import find_cuts
from tests.search_spaces.random_exits import early, networks_with_exits


@given(network=networks_with_exits())
def test_behind_a_cut_one_value_alone_is_read(network: Architecture) -> None:
    names = [INPUT, *(node.name for node in network.nodes)]
    found = []
    for position in range(1, len(names)):
        read = {name for node in network.nodes[position:] for name in node.inputs}
        if not read & set(names[:position]):
            found.append(position)
    assert find_cuts(network) == found
    assert found[-1] == len(network.nodes)


def test_a_head_beside_the_trunk_hides_its_cuts() -> None:
    names = [early().nodes[stop - 1].name for stop in find_cuts(early())]
    assert names == [
        "stem", "stem_norm", "stem_relu", "block_add", "down", "depthwise", "late_pool", "late_flatten", "late",
    ]  # fmt: skip
