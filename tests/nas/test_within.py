"""Bounds for methods that scale a network, and what is said where none is kept."""

from collections.abc import Callable

import pytest

from nas.problem import make_problem
from nas.spec import Spec
from nas.within import counted_bounds, of_share
from search_spaces import BudgetError


def test_where_latency_alone_is_bounded(small: Callable[..., Spec]) -> None:
    """Widths begin at 64 times the base's parameters."""
    problem = make_problem(small(budget={"latency": "2x"}), latency_of=lambda network: 1.0)
    assert problem.counted_bounds == {}
    assert counted_bounds(problem, 0.5) == {"params": 32 * problem.base.cost.params}
    both = make_problem(small(budget={"latency": "2x", "macs": 1001}), latency_of=lambda network: 1.0)
    assert both.counted_bounds == {"macs": 1001}
    assert counted_bounds(both, 0.5) == {"macs": 500}


@pytest.mark.parametrize(
    ("share", "text", "said"),
    [
        (1, "params must be at least 7", "methods: uniform: budget.params must be at least 7"),
        (0.5, "latency_ms must be", "methods: uniform (share 0.5 of the budget): budget.latency_ms must be"),
        (1, "some phi must keep the bounds", "methods: uniform: some phi must keep the bounds"),
    ],
)
def test_what_begins_with_a_key_is_one_of_the_budget(share: float, text: str, said: str) -> None:
    assert str(of_share("uniform", share, BudgetError(text))) == said
