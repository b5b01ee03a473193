"""Inclusive windows of costs: what a network may cost at least and at most."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from search_spaces.formulas import Integers

Windows: TypeAlias = Mapping[str, tuple[int, int]]  # by the names of `Cost`


def window(bound: int, tolerance: float, *, two_sided: bool = False) -> tuple[int, int]:
    """Inclusive window from (1 - tolerance) * bound up to the bound, or as far above it; exact in decimal."""
    share = Fraction(str(tolerance))
    return -int((share - 1) * bound // 1), int((share + 1) * bound // 1) if two_sided else bound


def relative_miss(cost: Integers, least: int, most: int) -> Any:
    """How far a cost lies outside its window, as a share of the upper bound; negative inside. Elementwise."""
    return np.maximum(least - cost, cost - most) / max(most, 1)
