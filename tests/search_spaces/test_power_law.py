"""Power laws are found again in the rows they made, and equal the authors' to nine digits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Architecture, Flatten, Linear
from search_spaces.batch_cost import BatchCost
from search_spaces.errors import FitError, NetworkError
from search_spaces.power_law import MIN_ROWS, PowerLaw, fit_power_law, uniform_law
from search_spaces.sketch import Sketch
from search_spaces.zoo import make_network

REFERENCE: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "reference" / "neuralscale.json").read_text()
)["fits"]
LAW = PowerLaw(alpha=(0.5, 2.0), beta=(0.5, 0.25), tau_range=(1e4, 1e6))


def fit_id(fit: dict[str, Any]) -> str:
    return f"{fit['network']}-{fit['classes']}-{fit['iteration']}"


planted = st.lists(st.tuples(st.floats(1e-3, 10), st.floats(0.05, 1.5)), min_size=1, max_size=20)


@given(law=planted, rows=st.integers(MIN_ROWS, 300), low=st.floats(1e3, 1e5), times=st.floats(1.5, 1e4))
def test_planted_laws_are_recovered(law: list[tuple[float, float]], rows: int, low: float, times: float) -> None:
    alpha, beta = (np.array(column) for column in zip(*law, strict=True))
    tau = np.geomspace(times * low, low, rows)
    fit = fit_power_law(alpha * tau[:, np.newaxis] ** beta, tau)
    np.testing.assert_allclose(fit.alpha, alpha, rtol=1e-9)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-9)
    assert (fit.rows, fit.cost) == (rows, "params")
    assert fit.tau_range == (tau.min(), tau.max())
    np.testing.assert_allclose(fit.r2 or (), 1)
    np.testing.assert_allclose(fit.widths_at(tau), alpha * tau[:, np.newaxis] ** beta, rtol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(MIN_ROWS, 50), groups=st.integers(1, 6))
def test_equals_one_least_squares_problem_for_all_layers(seed: int, rows: int, groups: int) -> None:
    """Eq. 7 as it stands: one matrix whose blocks are the layers', solved by a library."""
    rng = np.random.default_rng(seed)
    tau = np.sort(rng.uniform(1e3, 1e6, rows))[::-1]
    widths = np.sort(rng.integers(1, 500, (rows, groups)), axis=0)[::-1]
    block = np.column_stack([np.ones(rows), np.log(tau)])
    theta = np.linalg.lstsq(np.kron(np.eye(groups), block), np.log(widths).T.ravel(), rcond=None)[0]
    fit = fit_power_law(widths, tau)
    np.testing.assert_allclose(np.log(fit.alpha), theta[0::2], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fit.beta, theta[1::2], rtol=1e-9, atol=1e-9)
    explained = [np.corrcoef(np.log(tau), np.log(column))[0, 1] ** 2 if np.ptp(column) else 1 for column in widths.T]
    np.testing.assert_allclose(fit.r2 or (), explained, atol=1e-9)


@pytest.mark.parametrize("fit", REFERENCE, ids=fit_id)
def test_reference(fit: dict[str, Any]) -> None:
    """Only the authors' first and last rows are known, so rows are made from their law, as many and over the same tau.

    What the two rows can show: they have the parameters that tau begins and ends with, and lie near the law.
    """
    alpha, beta = np.array(fit["alpha"]), np.array(fit["beta"])
    low, high = fit["tau_range"]
    tau = np.geomspace(high, low, fit["rows"])
    found = fit_power_law(alpha * tau[:, np.newaxis] ** beta, tau)
    np.testing.assert_allclose(found.alpha, alpha, rtol=1e-9)
    np.testing.assert_allclose(found.beta, beta, rtol=1e-9)
    assert found.tau_range == pytest.approx((low, high), rel=1e-12)
    assert [count_as_authors(fit, fit[name]) for name in ("last_row", "first_row")] == [low, high]
    ratios = np.array([fit["last_row"], fit["first_row"]]) / found.widths_at([low, high])
    assert 0.4 < ratios.min() <= ratios.max() < 2.5


def count_as_authors(fit: dict[str, Any], widths: list[int]) -> int:
    """Parameters by their formula: the real ones without the convs of shortcuts that differ in stride alone."""
    network = make_network(fit["network"], classes=fit["classes"])
    count = int(BatchCost(network).costs([widths])[0, 0])
    if fit["network"] == "preact_resnet18":
        ends = widths[0::2]  # stem, then the blocks
        count -= sum(ends[block] ** 2 for block in (2, 4, 6) if ends[block] == ends[block + 1])
    return count


def test_constant_width() -> None:
    tau = np.geomspace(1e6, 1e4, 9)
    fit = fit_power_law(np.column_stack([np.full(9, 7.0), tau**0.5]), tau)
    assert fit.alpha[0] == pytest.approx(7, rel=1e-12)
    assert (fit.beta[0], fit.r2 and fit.r2[0]) == (0, 1)
    assert fit.widths_at(1.0)[0] == pytest.approx(7)


def test_noise_shows_in_r2() -> None:
    tau = np.geomspace(1e6, 1e4, 40)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.2, 40))
    r2 = fit_power_law(np.column_stack([tau**0.5, tau**0.5 * noise]), tau).r2
    assert r2 is not None
    assert r2[0] == pytest.approx(1)
    assert 0.5 < r2[1] < 0.99


TAU = np.geomspace(1e6, 1e4, 6)
ROWS = TAU[:, np.newaxis] ** [0.5, 0.3]


@pytest.mark.parametrize(
    ("widths", "tau", "message"),
    [
        (ROWS[:5], TAU[:5], "a fit needs at least 6 recorded networks, but there are 5; record more .* scale uniform"),
        (ROWS[:0], TAU[:0], "at least 6 recorded networks, but there are 0"),
        (ROWS, np.full(6, 3e5), "networks of several sizes, but all have tau=300000; .* or scale uniformly"),
        (ROWS[::-1], TAU, "recorded widths must grow with tau, but beta is -0.5 to -0.3"),
        (np.ones((6, 2)), TAU, "must grow with tau, but beta is 0 to 0"),
        (ROWS - ROWS.min(), TAU, "recorded widths must be positive numbers, but are 0.0"),
        (ROWS, -TAU, "recorded tau must be positive"),
        (ROWS, TAU[:5], r"widths \[R, G\] and tau \[R\], but they are \[6, 2\] and \[5\]"),
        (TAU, TAU, r"but they are \[6\] and \[6\]"),
    ],
)
def test_rows_that_no_law_fits(widths: Any, tau: Any, message: str) -> None:
    with pytest.raises(FitError, match=message):
        fit_power_law(widths, tau)


@pytest.mark.parametrize("law", [LAW, fit_power_law(ROWS, TAU, "macs"), PowerLaw(alpha=(1.0,), beta=(1.0,))])
def test_json_both_ways(law: PowerLaw) -> None:
    assert PowerLaw.from_json(json.loads(json.dumps(law.to_json()))) == law


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "a fit must be an object with alpha and beta"),
        ({"alpha": [1]}, "a fit must be an object with alpha and beta"),
        ({"alpha": [1], "beta": [1], "gamma": 1}, "no keys but alpha, beta, cost, .*, but has 'gamma'"),
        ({"alpha": [1, 2], "beta": [1]}, "as many alpha as beta, at least one, but has 2 and 1"),
        ({"alpha": [], "beta": []}, "at least one, but has 0 and 0"),
        ({"alpha": ["1"], "beta": [1]}, "alpha of a fit must be a list of finite numbers, but is \\['1'\\]"),
        ({"alpha": 1, "beta": [1]}, "alpha of a fit must be a list of finite numbers, but is 1"),
        ({"alpha": [float("inf")], "beta": [1]}, "alpha of a fit must be a list of finite numbers"),
        ({"alpha": [True], "beta": [1]}, "alpha of a fit must be a list of finite numbers"),
        ({"alpha": [0], "beta": [1]}, "alpha must be positive, but one is 0"),
        ({"alpha": [1], "beta": [-0.5]}, "beta must be at least 0.* -0.5 to -0.5"),
        ({"alpha": [1], "beta": [0]}, "one above 0, but they are 0.0 to 0.0"),
        ({"alpha": [1], "beta": [1], "cost": "flops"}, "params, macs or activation_elements, but is 'flops'"),
        ({"alpha": [1], "beta": [1], "cost": ["params"]}, "cost of a fit must be"),
        ({"alpha": [1], "beta": [1], "rows": 0}, "rows of a fit must be a positive integer, but are 0"),
        ({"alpha": [1], "beta": [1], "tau_range": [2, 1]}, "least and the largest tau, but is \\[2.0, 1.0\\]"),
        ({"alpha": [1], "beta": [1], "tau_range": [1]}, "least and the largest tau, but is \\[1.0\\]"),
        ({"alpha": [1], "beta": [1], "r2": [1, 1]}, "one number a group, 1, but has 2"),
    ],
)
def test_json_that_is_no_fit(data: object, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        PowerLaw.from_json(data)


def test_widths_at() -> None:
    assert LAW.widths_at(1e4) == pytest.approx([50, 20])
    assert LAW.widths_at([[1e4], [16e4]]).tolist() == [[pytest.approx([50, 20])], [pytest.approx([200, 40])]]


@pytest.mark.parametrize(("tau", "outside"), [(1e4, False), (1e6, False), (9999.0, True), (1.1e6, True)])
def test_extrapolates(tau: float, outside: bool) -> None:
    assert LAW.extrapolates(tau) is outside
    assert PowerLaw(alpha=(1.0,), beta=(1.0,)).extrapolates(tau) is None


def test_uniform_law() -> None:
    network = make_network("vgg11")
    law = uniform_law(network)
    params = 9_231_114
    assert law.widths_at(params) == pytest.approx([64, 128, 256, 256, 512, 512, 512, 512])
    assert law.widths_at(params / 4) == pytest.approx([32, 64, 128, 128, 256, 256, 256, 256])
    with pytest.raises(NetworkError, match="a width that is free to be scaled, but this one has none"):
        uniform_law(without_widths())


def without_widths() -> Architecture:
    """A classifier alone."""
    sketch = Sketch((3, 4, 4))
    sketch.add("flatten", Flatten())
    sketch.add("classes", Linear(out_features=10))
    return sketch.finish()
