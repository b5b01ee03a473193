"""Depth, width and resolution of a network scaled together, as EfficientNet's (Tan and Le 2019, eq. 3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.cost import Budget, check_bounds, count_cost
from search_spaces.edits import check_maps_follow, with_resolution
from search_spaces.errors import BudgetError, NetworkError
from search_spaces.ops import LARGEST
from search_spaces.repeats import find_repeats, with_counts
from search_spaces.widths import scale_widths

MOST_PHI = 32
STEP = 2.0**-20  # phi is found up to this: the smallest change of a width of 2000 channels is far above
NEAR = 256  # px within which a side is looked for at which a network can exist
DIGITS = 12  # of a multiplier: 1.1 ** 2 times 100 blocks are 121, not 122


@dataclass(frozen=True, kw_only=True)
class Compound:
    """A network along a compound scaling, its phi, and its costs by the names of `COSTS`.

    `held` says whether its images would be larger, were there larger ones.
    """

    phi: float
    architecture: Architecture
    costs: Mapping[str, int]
    held: bool = False


def with_depth(architecture: Architecture, multiplier: float) -> Architecture:
    """The network whose runs of equal blocks have their number times a multiplier, rounded (half up), at least one.

    What a run is says `find_repeats`. Raises NetworkError where no block repeats, and for more than 100,000 nodes.
    """
    return _with_depth(architecture, multiplier, lambda count: floor(count + 0.5))


def compound(
    architecture: Architecture, phi: float, *, alpha: float, beta: float, gamma: float, largest: int | None = None
) -> Architecture:
    """The network with depth times alpha^phi, widths times beta^phi and resolution times gamma^phi.

    Numbers of blocks are rounded up, as EfficientNet's; widths to the nearest that the layers allow; the resolution to
    the nearest at which the network can exist, as behind a space-to-depth, and at most `largest`. A factor of 1 leaves
    its part alone.

    Raises NetworkError for factors below 1, where a network without repeated blocks shall become deeper, where maps
    would not grow with the image, and for networks that are too small or too large to exist.
    """
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < LARGEST:
            raise NetworkError(f"{name} must be a number of at least 1, but got {name}={value!r}")
    if isinstance(phi, bool) or not isinstance(phi, int | float) or not isfinite(phi) or abs(phi) > MOST_PHI:
        raise NetworkError(f"phi must be a number from -{MOST_PHI} to {MOST_PHI}, but got phi={phi!r}")
    scaled = architecture
    if alpha > 1:
        scaled = _with_depth(scaled, _power(alpha, phi), ceil)
    if beta > 1:
        scaled = scale_widths(scaled, _power(beta, phi))
    if gamma > 1:
        check_maps_follow(architecture)
        wanted = min(_side(architecture, gamma, phi), largest or LARGEST)
        scaled = _near_resolution(scaled, wanted, largest or LARGEST)
    return scaled


def _side(architecture: Architecture, gamma: float, phi: float) -> int:
    return max(1, floor(architecture.resolution * _power(gamma, phi) + 0.5))


def compound_within(  # noqa: PLR0913
    architecture: Architecture,
    bounds: Mapping[str, float],
    *,
    alpha: float,
    beta: float,
    gamma: float,
    largest: int | None = None,
    capped: bool = False,
) -> Compound:
    """The network of the largest phi that keeps all bounds (upper ones, by the names of `COSTS`).

    Its resolution is at most `largest`, where that is given: there the image stays while depth and width grow on; the
    growth ends where nothing else grows. Where even the largest phi of all keeps the bounds, that is an error, or, if
    `capped`, the answer.

    phi is found by halving, to 2^-20, negative where the network itself is too large. Costs only grow with phi, but for
    a `Shortcut` that becomes the identity where rounded widths meet; the network that comes back keeps the bounds in
    any case. Where no network can exist, phi is too large.

    Raises BudgetError for bounds that are none, that nothing reaches or that no phi keeps, NetworkError as `compound`.
    """
    check_bounds(bounds)
    if not bounds:
        raise BudgetError("a budget must bound one or more of params, macs, activation_elements, but bounds nothing")
    if alpha == beta == gamma == 1:
        raise NetworkError("one of alpha, beta and gamma must be above 1 for anything to change, but all are 1")
    factors: dict[str, Any] = {"alpha": alpha, "beta": beta, "gamma": gamma, "largest": largest}
    image_alone = alpha == beta == 1
    compound(architecture, 0, **factors)  # raises for what is wrong at any phi

    def held(phi: float) -> bool:
        return largest is not None and gamma > 1 and _side(architecture, gamma, phi) > largest

    def kept(phi: float) -> Compound | None:
        if image_alone and held(phi):
            return None
        try:
            scaled = compound(architecture, phi, **factors)
        except NetworkError:  # too large or too small to exist
            return None
        costs = count_cost(scaled).bounded()
        keeps = max(Budget(bounds=bounds).slack(costs).values()) <= 0
        stays = held(phi + STEP if image_alone else phi)
        return Compound(phi=phi, architecture=scaled, costs=costs, held=stays) if keeps else None

    return _last_kept(kept, _first_kept(kept, architecture, bounds), capped=capped)


def _first_kept(
    kept: Callable[[float], Compound | None], architecture: Architecture, bounds: Mapping[str, float]
) -> Compound:
    """The network of the largest whole phi of at most 0 that keeps the bounds."""
    for phi in range(0, -MOST_PHI - 1, -1):
        found = kept(phi)
        if found:
            return found
    costs = count_cost(architecture).bounded()
    said = ", ".join(f"{name} {costs[name]:,} (bound {bound:,})" for name, bound in bounds.items())
    raise BudgetError(f"some phi must keep the bounds, but none does; the network has {said}; raise the bounds")


def _last_kept(kept: Callable[[float], Compound | None], best: Compound, *, capped: bool) -> Compound:
    """The network of the largest phi that keeps the bounds, beginning with one that does."""
    beyond = best.phi + 1
    while beyond <= MOST_PHI and (further := kept(beyond)):
        best, beyond = further, beyond + 1
    if beyond > MOST_PHI and capped:
        return best
    if beyond > MOST_PHI:
        raise BudgetError(f"the bounds must end the growth, but phi={MOST_PHI} keeps them; bound what grows with phi")
    while beyond - best.phi > STEP:
        middle = (best.phi + beyond) / 2
        found = kept(middle)
        best, beyond = (found, beyond) if found else (best, middle)
    return best


def _power(factor: float, phi: float) -> float:
    return _without_noise(factor**phi)


def _without_noise(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _with_depth(architecture: Architecture, multiplier: float, rounded: Callable[[float], int]) -> Architecture:
    if isinstance(multiplier, bool) or not isinstance(multiplier, int | float) or not 0 < multiplier < LARGEST:
        raise NetworkError(f"a depth multiplier must be a positive number, but got {multiplier!r}")
    repeats = find_repeats(architecture)
    if not repeats:
        raise NetworkError(
            "a depth multiplier needs blocks that repeat, or residual ones, with one shape before and behind them, but "
            "the network has none; scale its width or resolution"
        )
    counts = [max(1, rounded(_without_noise(repeat.count * multiplier))) for repeat in repeats]
    return with_counts(architecture, repeats, counts)


def _near_resolution(architecture: Architecture, wanted: int, largest: int) -> Architecture:
    """The network at the side next to the wanted one at which it can exist, the larger one of two."""
    problem: Any = None
    sides = (wanted + step * sign for step in range(NEAR) for sign in (1, -1))
    for side in (max(side, 1) for side in sides if side <= largest):
        try:
            return with_resolution(architecture, side)
        except NetworkError as error:
            problem = problem or error
    raise NetworkError(f"a side near {wanted} px must be possible, but is not: {problem}") from problem
