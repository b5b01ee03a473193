"""The paper's descent on tau ends where the exact solver does, or goes round it."""

from typing import Any

import numpy as np
import pytest

from search_spaces import BudgetError, NetworkError
from search_spaces.batch_cost import BatchCost
from search_spaces.power_law import PowerLaw, uniform_law
from search_spaces.scaling import scale_to
from search_spaces.tau_descent import _cost_and_slopes, descend_tau
from search_spaces.zoo import make_network
from tests.search_spaces.test_scaling import CASES, case_id, law_of, residual_network, small_network


@pytest.mark.parametrize(("fit", "target"), CASES, ids=case_id)
def test_agrees_with_the_exact_solver(fit: dict[str, Any], target: dict[str, Any]) -> None:
    batch, law, goal = BatchCost(make_network(fit["network"], classes=fit["classes"])), law_of(fit), target["params"]
    exact = scale_to(batch, law, {"params": goal})
    found = descend_tau(batch, law, goal, tolerance=0.01)
    assert found.stop == "tolerance"
    assert abs(found.cost - goal) <= 0.01 * goal
    assert found.tau == pytest.approx(exact.tau, rel=0.015)
    np.testing.assert_allclose(found.widths, exact.widths, rtol=0.015, atol=4)


@pytest.mark.parametrize(("fit", "target"), CASES, ids=case_id)
def test_cycles_round_the_exact_solution(fit: dict[str, Any], target: dict[str, Any]) -> None:
    """The real count jumps: no tau need meet the target exactly."""
    batch, law, goal = BatchCost(make_network(fit["network"], classes=fit["classes"])), law_of(fit), target["params"]
    found = descend_tau(batch, law, goal, tolerance=0)
    assert found.stop == "cycle"
    assert found.between is not None
    low, high = found.between
    assert low <= scale_to(batch, law, {"params": goal}).tau * (1 + 1e-9) <= high * (1 + 2e-9)
    assert high / low < 1.01


@pytest.mark.parametrize("network", [small_network(), residual_network()], ids=["plain", "residual"])
def test_slopes(network: Any) -> None:
    """dh/dphi of degree 2, against a polynomial through three points around it."""
    batch = BatchCost(network)
    widths = np.array(batch.groups.widths) + 3 * np.arange(len(batch.groups.widths))  # no two of them equal
    for column, name in enumerate(("params", "macs")):
        cost, slopes = _cost_and_slopes(batch, name, widths)
        assert cost == batch.costs([widths])[0, column]
        for i, slope in enumerate(slopes):
            around = np.array([widths + shift * (np.arange(len(widths)) == i) for shift in (-2, 0, 2)])
            fitted = np.polyfit([-2, 0, 2], batch.costs(around)[:, column], 2)
            assert slope == pytest.approx(fitted[1], rel=1e-9)


def test_other_costs_and_steps() -> None:
    batch = BatchCost(make_network("vgg11"))
    uniform = uniform_law(make_network("vgg11"))
    law = PowerLaw(alpha=uniform.alpha, beta=uniform.beta, cost="macs")
    found = descend_tau(batch, law, 50_000_000, tolerance=0.01)
    assert (found.stop, found.between) == ("tolerance", None)
    assert abs(found.cost - 5e7) <= 5e5
    assert tuple(batch.costs([found.widths])[0])[1] == found.cost
    short = descend_tau(batch, law, 50_000_000, rate=1e-6, steps=3)
    assert (short.stop, short.steps) == ("steps", 3)


def test_bad_input() -> None:
    batch, law = BatchCost(small_network()), PowerLaw(alpha=(1.0,), beta=(0.5,))
    with pytest.raises(NetworkError, match="width groups, 3, but has 1"):
        descend_tau(batch, law, 1000)
    wide = PowerLaw(alpha=(1.0,) * 3, beta=(0.5,) * 3)
    for options in ({"rate": 0}, {"steps": 0}, {"tolerance": -1}):
        with pytest.raises(BudgetError, match="rate positive"):
            descend_tau(batch, wide, 1000, **options)
