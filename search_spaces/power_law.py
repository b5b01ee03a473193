"""How wide each layer is at every size of a network: phi_l(tau) = alpha_l tau^beta_l (Lee and Lee 2020, eq. 5).

R recorded networks, G width groups. tau is what a network costs, in units of the law's `cost`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces.architecture import Architecture
from search_spaces.cost import COSTS, count_cost
from search_spaces.errors import FitError, NetworkError
from search_spaces.width_groups import find_width_groups

MIN_ROWS = 6  # fewer recorded networks say too little: uniform scaling is the way then
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """alpha and beta [G], in the order of the width groups, and what tau counts.

    Of a fit also the number of rows, the least and the largest tau among them, and R^2 [G] of ln phi; None where they
    are not known, as of a law that was not fitted.
    """

    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    cost: str = "params"
    rows: int | None = None
    tau_range: tuple[float, float] | None = None
    r2: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "tau_range", "r2"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _numbers(name, value))
        if self.cost not in COSTS:
            raise NetworkError(f"cost of a fit must be {', '.join(COSTS[:-1])} or {COSTS[-1]}, but is {self.cost!r}")
        if not self.alpha or len(self.alpha) != len(self.beta):
            raise NetworkError(
                f"a fit must have as many alpha as beta, at least one, but has {len(self.alpha)} and {len(self.beta)}"
            )
        if min(self.alpha) <= 0:
            raise NetworkError(f"alpha must be positive, but one is {min(self.alpha)}")
        if min(self.beta) < 0 or max(self.beta) == 0:
            raise NetworkError(
                "beta must be at least 0, as widths grow with the network, and one above 0, but they are "
                f"{min(self.beta)} to {max(self.beta)}"
            )
        self._check_record()

    def _check_record(self) -> None:
        if self.rows is not None and (isinstance(self.rows, bool) or not isinstance(self.rows, int) or self.rows < 1):
            raise NetworkError(f"rows of a fit must be a positive integer, but are {self.rows!r}")
        if self.tau_range is not None and not (len(self.tau_range) == 2 and 0 < self.tau_range[0] <= self.tau_range[1]):
            raise NetworkError(f"tau_range must be the least and the largest tau, but is {list(self.tau_range)}")
        if self.r2 is not None and len(self.r2) != len(self.alpha):
            raise NetworkError(f"r2 must have one number a group, {len(self.alpha)}, but has {len(self.r2)}")

    def widths_at(self, tau: ArrayLike) -> Floats:
        """Widths [..., G], not rounded, at tau [...]."""
        return self.widths_at_log(np.log(np.asarray(tau, np.float64)))

    def widths_at_log(self, log_tau: ArrayLike) -> Floats:
        """The same at ln tau [...] (eq. 6), which does not overflow."""
        exponents = np.log(self.alpha) + np.asarray(log_tau, np.float64)[..., np.newaxis] * np.array(self.beta)
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(exponents))

    def check_groups(self, count: int) -> None:
        """Raise NetworkError where the law is of another number of width groups."""
        if len(self.alpha) != count:
            raise NetworkError(
                f"a fit must have as many alpha as the network has width groups, {count}, but has {len(self.alpha)}; "
                "fit it to this network"
            )

    def extrapolates(self, tau: float) -> bool | None:
        """Whether tau lies outside of what was recorded; None where that is not known."""
        if self.tau_range is None:
            return None
        return not self.tau_range[0] <= tau <= self.tau_range[1]

    def to_json(self) -> dict[str, Any]:
        """Plain data, without what is not known."""
        return {name: _plain(value) for name, value in asdict(self).items() if value is not None}

    @staticmethod
    def from_json(data: object) -> "PowerLaw":
        """The law of plain data; raises NetworkError where it is none."""
        known = [field.name for field in fields(PowerLaw)]
        if not isinstance(data, dict) or not {"alpha", "beta"} <= set(data):
            raise NetworkError(f"a fit must be an object with alpha and beta (all keys: {', '.join(known)})")
        unknown = sorted(str(name) for name in set(data) - set(known))
        if unknown:
            raise NetworkError(f"a fit must have no keys but {', '.join(known)}, but has {unknown[0]!r}")
        return PowerLaw(**data)


def fit_power_law(widths: ArrayLike, tau: ArrayLike, cost: str = "params") -> PowerLaw:
    """The law that recorded widths [R, G] at tau [R] follow, by least squares of ln phi on ln tau (eq. 6 to 8).

    Raises FitError where the record is too small, has one tau only, or shows a width that grows while tau falls.
    """
    recorded, sizes = _check_rows(np.asarray(widths, np.float64), np.asarray(tau, np.float64))
    x, y = np.log(sizes), np.log(recorded)
    # Around their means and first row, the normal equations of eq. 8 lose no digits, and a constant width has beta 0.
    centred, relative = x - x.mean(), y - y[0]
    beta = centred @ relative / (centred @ centred)
    intercept = y[0] + relative.mean(axis=0) - beta * x.mean()
    if (beta < 0).any() or not beta.any():
        raise FitError(
            f"recorded widths must grow with tau, but beta is {beta.min():.4g} to {beta.max():.4g}; record more "
            "pruning steps, or scale uniformly"
        )
    missed = ((y - intercept - np.outer(x, beta)) ** 2).sum(axis=0)
    spread = ((relative - relative.mean(axis=0)) ** 2).sum(axis=0)
    r2 = 1 - np.divide(missed, spread, out=np.zeros_like(missed), where=spread > 0)  # a constant is met exactly
    return PowerLaw(
        alpha=tuple(np.exp(intercept).tolist()),
        beta=tuple(beta.tolist()),
        cost=cost,
        rows=len(sizes),
        tau_range=(float(sizes.min()), float(sizes.max())),
        r2=tuple(r2.tolist()),
    )


def uniform_law(network: Architecture) -> PowerLaw:
    """All widths times one factor: phi_l = width_l (tau / tau_0)^(1/2), tau_0 being the network's parameters.

    Parameters grow about with the square of the widths, so tau is about the parameters here, too.
    """
    widths = find_width_groups(network).widths
    if not widths:
        raise NetworkError("a network must have a width that is free to be scaled, but this one has none")
    tau = count_cost(network).params
    return PowerLaw(alpha=tuple(width / tau**0.5 for width in widths), beta=(0.5,) * len(widths))


def _check_rows(widths: Floats, tau: Floats) -> tuple[Floats, Floats]:
    if widths.ndim != 2 or tau.shape != widths.shape[:1] or not widths.shape[1]:
        raise FitError(
            f"a fit needs widths [R, G] and tau [R], but they are {list(widths.shape)} and {list(tau.shape)}"
        )
    if len(tau) < MIN_ROWS:
        raise FitError(
            f"a fit needs at least {MIN_ROWS} recorded networks, but there are {len(tau)}; record more pruning steps "
            "(fewer channels a step), or scale uniformly"
        )
    for name, values in (("widths", widths), ("tau", tau)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise FitError(f"recorded {name} must be positive numbers, but are {values.min()} to {values.max()}")
    if tau.min() == tau.max():
        raise FitError(
            f"a fit needs networks of several sizes, but all have tau={tau[0]:.12g}; record more pruning steps, or "
            "scale uniformly"
        )
    return widths, tau


def _numbers(name: str, values: object) -> tuple[float, ...]:
    is_row = isinstance(values, Sequence) and not isinstance(values, str)
    if not is_row or not all(_is_number(value) for value in values):  # type: ignore[attr-defined]
        raise NetworkError(f"{name} of a fit must be a list of finite numbers, but is {str(values)[:80]}")
    return tuple(float(value) for value in values)  # type: ignore[attr-defined]


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:  # an integer beyond floats
        return False


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
