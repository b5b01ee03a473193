"""Best, smallest within one standard error, knee."""

from dataclasses import replace

import pytest

from dashboards.picks import make_picks
from tests.dashboards.fronts import front, network

NETWORKS = [
    network("tiny", 0.50, 1),
    network("knee", 0.78, 4),
    network("good", 0.799, 30),
    network("best", 0.80, 100),
    network("dear", 0.79, 90),
]


def picked(*names: str) -> dict[str, str | None]:
    found = make_picks(front([one for one in NETWORKS if one.id in names], names))
    return {pick.name: pick.network.id if pick.network else None for pick in found}


def test_three_picks() -> None:
    """The best's standard error is 0.01 / sqrt(3) = 0.0058: 0.799 is within, 0.79 is not."""
    assert picked("tiny", "knee", "good", "best", "dear") == {"best": "best", "smallest": "good", "knee": "knee"}


def test_the_best_may_be_the_smallest_as_good() -> None:
    assert picked("tiny", "knee", "best")["smallest"] == "best"


def test_knee_stands_above_the_line_in_accuracy_and_log_cost() -> None:
    """Between (1, 0.5) and (100, 0.8) the line is at 0.65 at 10 MACs."""
    ends = [network("low", 0.5, 1), network("high", 0.8, 100)]
    for accuracy, expected in ((0.66, "middle"), (0.64, None)):
        own = [*ends, network("middle", accuracy, 10)]
        (knee,) = [pick for pick in make_picks(front(own, ("low", "high", "middle"))) if pick.name == "knee"]
        assert (knee.network and knee.network.id) == expected
        assert (knee.reason == "no network stands above the line") == (expected is None)


def test_reasons_for_none() -> None:
    lone = front([network("one", 0.5, 10, seeds=(0.0,))], ("one",))
    reasons = {pick.name: pick.reason for pick in make_picks(lone)}
    assert reasons == {
        "best": "",
        "smallest": "one seed has no standard error",
        "knee": "a knee needs a front of three at least",
    }
    waiting = replace(front(NETWORKS, ("tiny", "knee", "best")), winner=None, unconfirmed=("knee",))
    assert [pick.reason for pick in make_picks(waiting)] == [
        "no winner is named yet",
        "no winner is named yet",
        "the front waits for fresh seeds",
    ]
    assert make_picks(front([], ()))[0].to_json() == {
        "pick": "best",
        "rule": "highest accuracy within the budget",
        "reason": "no winner is named yet",
    }


def test_a_study_has_none() -> None:
    study = front(NETWORKS, ("best",))
    assert make_picks(replace(study, study=study.networks)) == []


@pytest.mark.parametrize("objectives", [("accuracy", "params"), ("accuracy",)])
def test_the_cost_is_the_first_objective_or_macs(objectives: tuple[str, ...]) -> None:
    found = make_picks(front(NETWORKS, ("best",), objectives))
    assert f"least {objectives[-1] if len(objectives) > 1 else 'macs'} " in found[1].rule
