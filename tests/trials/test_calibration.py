"""Temperatures and calibration errors, by hand, by slow references, by the slope at the optimum."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trials.calibration import (
    LIMITS,
    CalibrationError,
    confidences,
    expected_calibration_error,
    fit_temperature,
)


def draw(
    seed: int, temperature: float, images: int = 2000, classes: int = 5
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits of which the softmax at this temperature says how probable each label is."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (images, classes))
    noise = generator.gumbel(size=(images, classes))
    return logits * temperature, (logits + noise).argmax(axis=1)


def nll(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    """One image after the other."""
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        below = [(value - max(row)) / temperature for value in row]
        total += log(sum(map(exp, below))) - below[label]
    return total / len(labels)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0, 10.0])
def test_the_temperature_that_was_drawn(temperature: float) -> None:
    logits, labels = draw(0, temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.1)


@given(st.integers(0, 1000), st.floats(0.2, 5), st.integers(2, 6))
@settings(max_examples=25)
def test_no_other_temperature_is_better(seed: int, temperature: float, classes: int) -> None:
    logits, labels = draw(seed, temperature, images=60, classes=classes)
    found = fit_temperature(logits, labels)
    least = nll(logits, labels, found)
    assert all(least <= nll(logits, labels, exp(u)) + 1e-12 for u in np.linspace(log(LIMITS[0]), log(LIMITS[1]), 40))
    assert all(least <= nll(logits, labels, found * ratio) + 1e-12 for ratio in (0.99, 0.999, 1.001, 1.01))


def test_the_slope_is_0() -> None:
    logits, labels = draw(1, 2.5, images=300)
    found = fit_temperature(logits, labels)
    step = 1e-4 * found
    slope = (nll(logits, labels, found + step) - nll(logits, labels, found - step)) / (2 * step)
    beside = (nll(logits, labels, 1.1 * found + step) - nll(logits, labels, 1.1 * found - step)) / (2 * step)
    assert abs(slope) < 1e-6 * abs(beside)


def test_closed_form() -> None:
    """Two classes, logits 2 apart, 3 of 4 right: softmax 3/4 where 2 / T = ln 3."""
    logits = np.array([[2.0, 0.0]] * 4)
    assert fit_temperature(logits, np.array([0, 0, 0, 1])) == pytest.approx(2 / log(3), rel=1e-9)


def test_limits() -> None:
    """Separated data would have temperature 0, data that is always wrong an infinite one."""
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(LIMITS[0], rel=1e-15)
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(LIMITS[1], rel=1e-15)
    assert fit_temperature(logits / 1000, np.array([0, 1])) == pytest.approx(LIMITS[0], rel=1e-15)


def test_where_no_temperature_matters() -> None:
    assert fit_temperature(np.ones((3, 4)), np.array([0, 1, 2])) == 1
    assert fit_temperature(np.ones((3, 1)), np.array([0, 0, 0])) == 1


def test_large_logits() -> None:
    logits, labels = draw(2, 1.0, images=200)
    assert fit_temperature(logits + 1e6, labels) == pytest.approx(fit_temperature(logits, labels), rel=1e-6)
    confidence, prediction = confidences([[1e30, -1e30], [-1e5, -1e5]])
    assert confidence.tolist() == [1, 0.5]
    assert prediction.tolist() == [0, 0]


@given(st.integers(0, 1000), st.floats(0.1, 10))
@settings(max_examples=20)
def test_confidences_are_the_highest_softmax(seed: int, temperature: float) -> None:
    logits, _ = draw(seed, 1.0, images=8)
    confidence, prediction = confidences(logits.astype(np.float32), temperature)
    for row, sure, chosen in zip(logits.astype(np.float32).tolist(), confidence, prediction, strict=True):
        weights = [exp((value - max(row)) / temperature) for value in row]
        assert sure == pytest.approx(max(weights) / sum(weights), rel=1e-12)
        assert row[chosen] == max(row)
    assert confidence.dtype == np.float64


def ece_slowly(confidence: list[float], correct: list[bool], bins: int) -> float:
    total = 0.0
    for m in range(1, bins + 1):
        inside = [
            (sure, right)
            for sure, right in zip(confidence, correct, strict=True)
            if (m - 1) / bins < sure <= m / bins or (m == 1 and sure == 0)
        ]
        if inside:
            accuracy, mean = (sum(column) / len(inside) for column in ([r for _, r in inside], [s for s, _ in inside]))
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


@given(
    st.lists(st.tuples(st.floats(0, 1) | st.sampled_from([0.0, 0.2, 0.4, 1.0]), st.booleans()), min_size=1),
    st.sampled_from([1, 5, 10, 16]),
)
@settings(max_examples=100)
def test_calibration_error(rows: list[tuple[float, bool]], bins: int) -> None:
    sure, right = [row[0] for row in rows], [row[1] for row in rows]
    assert expected_calibration_error(sure, right, bins) == pytest.approx(ece_slowly(sure, right, bins), abs=1e-12)


def test_calibration_error_by_hand() -> None:
    """In bins of a half: 0.4 against 1/2, and twice 0.9 against 1."""
    sure, right = [0.3, 0.5, 0.9, 0.9], [True, False, True, True]
    assert expected_calibration_error(sure, right, 2) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)
    assert expected_calibration_error([1.0], [True]) == 0
    assert expected_calibration_error([1.0], [False]) == 1


def test_scaling_mends_the_calibration_error() -> None:
    logits, labels = draw(3, 4.0)
    errors = []
    for temperature in (1.0, fit_temperature(logits, labels)):
        sure, chosen = confidences(logits, temperature)
        errors.append(expected_calibration_error(sure, chosen == labels))
    assert errors[1] < 0.3 * errors[0]


def test_refusals() -> None:
    with pytest.raises(CalibrationError, match=r"logits must be \[N, K\]"):
        fit_temperature([1.0], [0])
    with pytest.raises(CalibrationError, match="those of image 1 are not"):
        fit_temperature([[1.0, 2.0], [float("nan"), 1.0]], [0, 0])
    with pytest.raises(CalibrationError, match="labels must be 1 whole numbers"):
        fit_temperature([[1.0, 2.0]], [0.5])
    with pytest.raises(CalibrationError, match="from 0 to 1, but they are 2 to 2"):
        fit_temperature([[1.0, 2.0]], [2])
    with pytest.raises(CalibrationError, match="positive number, but is 0"):
        confidences([[1.0, 2.0]], 0)
    with pytest.raises(CalibrationError, match="at least one image in at least one bin"):
        expected_calibration_error([], [])
    with pytest.raises(CalibrationError, match=r"from 0 to 1, but one is 1\.5"):
        expected_calibration_error([0.5, 1.5], [True, True])
