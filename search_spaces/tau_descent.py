"""The paper's own way to meet a budget: gradient descent on tau (Lee and Lee 2020, eq. 9 to 11). G width groups.

`search_spaces.scaling` solves the same exactly; this is for comparison with the paper.
"""

from collections import Counter
from dataclasses import dataclass
from math import exp, log
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_spaces.batch_cost import BatchCost
from search_spaces.cost import COSTS
from search_spaces.errors import BudgetError
from search_spaces.ops import LARGEST
from search_spaces.power_law import PowerLaw

Stop: TypeAlias = Literal["tolerance", "cycle", "steps"]
SAME_CROSSINGS = 3  # so often from one network above the target to one below it: the descent goes round
CLOSEST = log(2)  # a step at most doubles tau or halves it


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Where a descent ended, after how many steps, and why.

    Where it cycled, `between` are the largest tau seen whose network is below the target and the least above.
    """

    tau: float
    widths: tuple[int, ...]
    cost: int
    steps: int
    stop: Stop
    between: tuple[float, float] | None = None


def descend_tau(
    batch_cost: BatchCost,
    law: PowerLaw,
    target: int,
    *,
    rate: float = 0.5,
    steps: int = 1000,
    tolerance: float = 0.001,
) -> Descent:
    """Descend L = (h(phi(tau)) - target)^2 / 2 from tau_0 = target (eq. 9) until h is within the tolerance.

    h is the law's own cost of the network with the widths rounded down. The gradient is the true one,
    (h - target) SUM_l dh/dphi_l alpha_l beta_l tau^(beta_l - 1); the authors' code leaves dh/dphi_l out. `rate` is in
    units of 1 / (dh/dtau)^2 at tau_0, where 1 is Newton's step. The target is no bound: h may end above it, and as
    it jumps, no tau need lie within the tolerance. Then the descent goes round between networks above and below,
    which is found out and said.
    """
    law.check_groups(len(batch_cost.groups.groups))
    if not (target >= 1 and rate > 0 and steps >= 1 and tolerance >= 0):
        raise BudgetError(
            "target and steps must be at least 1, rate positive and tolerance at least 0, but they are "
            f"{target}, {steps}, {rate} and {tolerance}"
        )
    tau, eta = float(target), 0.0
    before: tuple[int, ...] = ()
    crossings: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    below, above = 0.0, float("inf")
    cost = 0
    for step in range(steps + 1):
        widths = _floored(batch_cost, law, tau)
        was, cost, slopes = cost, *_cost_and_slopes(batch_cost, law.cost, widths)
        found = Descent(tau=tau, widths=tuple(widths.tolist()), cost=cost, steps=step, stop="steps")
        if abs(cost - target) <= tolerance * target:
            return _ended(found, "tolerance")
        below, above = (max(below, tau), above) if cost < target else (below, min(above, tau))
        if step and (cost < target) != (was < target):
            crossings[before, found.widths] += 1
            if crossings[before, found.widths] == SAME_CROSSINGS:
                return _ended(found, "cycle", (below, above))
        before = found.widths
        slope = float(slopes @ (law.widths_at(tau) * np.array(law.beta))) / tau  # dh/dtau by the chain rule (eq. 11)
        if not slope:
            raise BudgetError(f"{law.cost} must change with tau, but do not at tau={tau:.6g}; bound another cost")
        eta = eta or rate / slope**2
        tau = _moved(tau, -eta * (cost - target) * slope)  # eq. 10
    return found


def _ended(found: Descent, stop: Stop, between: tuple[float, float] | None = None) -> Descent:
    return Descent(**{**vars(found), "stop": stop, "between": between})


def _moved(tau: float, step: float) -> float:
    return min(max(tau + step, tau * exp(-CLOSEST)), tau * exp(CLOSEST))


def _floored(batch_cost: BatchCost, law: PowerLaw, tau: float) -> NDArray[np.int64]:
    divisors = np.array([group.divisor for group in batch_cost.groups.groups])
    whole = np.minimum(law.widths_at(tau), LARGEST // 2).astype(np.int64)
    return np.asarray(np.maximum(divisors, whole // divisors * divisors))


def _cost_and_slopes(batch_cost: BatchCost, name: str, widths: NDArray[np.int64]) -> tuple[int, NDArray[np.float64]]:
    """h and dh/dphi [G] at widths [G]: central differences, which are exact as h is of degree 2 in the widths.

    Where a shortcut is the identity at these widths alone, its conv is on both sides, so the jump cancels out.
    """
    up = np.array([group.divisor for group in batch_cost.groups.groups])
    down = np.where(widths > up, up, 0)
    rows = np.vstack([widths, widths + np.diag(up), widths - np.diag(down)])
    own, wider, narrower = np.split(batch_cost.costs(rows)[:, COSTS.index(name)], [1, 1 + len(up)])
    return int(own[0]), (wider - narrower) / (up + down)
