"""The front as a person sees it."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from dashboards import Front, Score, ScoredNetwork
from nas.show import print_front

LONG = "width x0.25 resolution x0.25 depth x0.25"
THREE = Score(by_seed={0: 0.9512, 1: 0.9534, 2: 0.9578}, images=1000)


def scored(method: str) -> ScoredNetwork:
    costs = {"params": 12_345_678, "macs": 9_876_543_210, "activation_elements": 1_234_567}
    return ScoredNetwork(
        id=method, method=method, resolution=224, costs=costs, slack={"macs": -1}, validation=THREE, confirmed=None,
        test=THREE, seconds=12.3, job_ids={0: method},
    )  # fmt: skip


@pytest.mark.parametrize("compares", [True, False])
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("timed", [True, False])
def test_numbers_are_never_cut(compares: bool, fresh: bool, timed: bool) -> None:
    """Long names of methods are folded."""
    networks = [scored("base"), scored(LONG)]
    if fresh:
        networks = [replace(network, confirmed=THREE) for network in networks]
    if timed:
        networks = [replace(network, costs={**network.costs, "latency_ms": 123.4567}) for network in networks]
    base, winner = networks
    front = Front(
        name="s", complete=True, base=base, front=(winner,), winner=winner, trained=2, unconfirmed=(), failed=(),
        study=(), networks=(base, winner), compares=compares, data={},
    )  # fmt: skip
    file = io.StringIO()
    print_front(Console(file=file, width=80), front)
    text = file.getvalue()
    assert "…" not in text
    assert all(len(line) <= 80 for line in text.splitlines()[:12])
    assert text.count("95.4±0.3" if compares else "0.9541") >= 2
    assert "winner" in text
