"""Layers as people see them: nothing is lost, ways beside the main one are drawn without meeting."""

import pytest

from dashboards.layers import layer_rows
from search_spaces import Architecture, count_cost
from search_spaces.multi_scale import multi_scale
from search_spaces.zoo import make_network

NETWORKS = [
    "lenet",
    "resnet18:stem=32",
    "mobilenet_v3_small:alpha=0.25",
    "isometric:depth=2,multiplier=0.25,internal=8",
]


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Architecture:
    return make_network(request.param, resolution=32, classes=10, channels=3)


def test_rows_add_up_to_the_network(network: Architecture) -> None:
    rows, cost = layer_rows(network), count_cost(network)
    assert sum(row.params for row in rows) == cost.params
    assert sum(row.macs for row in rows) == cost.macs
    assert rows[-1].shape == tuple(network.output)
    assert [row.answers for row in rows if row.answers] == [1]
    followers = sum(len(row.then.split(", ")) for row in rows if row.then)
    assert len(rows) + followers == len(network.nodes)


def test_every_way_is_drawn_once_from_begin_to_end(network: Architecture) -> None:
    rows = layer_rows(network)
    wanted = {(start, end) for end, row in enumerate(rows) for start in row.reads if end - start > 1}
    drawn: set[tuple[int, int]] = set()
    at: dict[int, int] = {}
    for i, row in enumerate(rows):
        for lane in row.end:
            drawn.add((at.pop(lane), i))
        assert set(at) == set(row.pass_by), "what has begun and not ended passes by"
        for lane in row.begin:
            assert lane not in at, "two ways in one lane"
            at[lane] = i
    assert drawn == wanted
    assert not at


def test_labels_say_what_is_not_usual() -> None:
    rows = layer_rows(make_network("mobilenet_v3_small:alpha=0.25", resolution=32, classes=10, channels=3))
    assert (rows[0].label, rows[0].then, rows[0].shape) == ("conv 3×3, stride 2", "batch norm, hardswish", (8, 16, 16))
    assert rows[0].reads == (-1,)
    assert rows[1].label == "depthwise 3×3, stride 2"
    assert rows[2].label == "average adaptive pool, size 1"


def test_exits_are_numbered() -> None:
    base = make_network("resnet18:stem=32", resolution=32, classes=10, channels=3)
    rows = layer_rows(multi_scale(base))
    assert [row.answers for row in rows if row.answers] == [1, 2]
    assert sum(row.macs for row in rows) == count_cost(multi_scale(base)).macs
