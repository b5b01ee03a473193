"""Operating points that are asked for: the most accurate at so many MACs, the cheapest of an accuracy."""

import io

import numpy as np
import pytest
from rich.console import Console

from nas.show_dynamic import Dynamics, Wish, grant, print_granted, read_wish
from search_spaces import NasError
from tests.dashboards.test_dynamic import dynamic, front, scores
from trials.thresholds import ThresholdError, find_frontier

NAMES = ("cascade 16+32 at x0.5", "cascade 16+32", "msnet")
FOUND = Dynamics(
    networks=[dynamic(name, ("c",) if name == "msnet" else ("a", "b")) for name in NAMES],
    front=front(dynamic("msnet", ("c",)).network),
    seeds={
        name: tuple(scores(seed, tested=name != "msnet") for seed in ((0, 1) if name == "msnet" else (2, 3)))
        for name in NAMES
    },
)


def test_each_seed_has_its_own_point_of_validation() -> None:
    for wish in (Wish(macs=250.0), Wish(accuracy=0.5)):
        rows = grant(FOUND, wish)
        assert [row["method"] for row in rows] == ["cascade 16+32", "msnet"], "once for all of its bounds"
        for row, name in zip(rows, NAMES[1:], strict=True):
            for point, seed in zip(row["points"], FOUND.seeds[name], strict=True):
                wanted = wish.point(seed.frontier)
                assert point["thresholds"] == wanted.thresholds
                assert point["validation"] == {"accuracy": wanted.accuracy, "expected_macs": wanted.expected_macs}
                on_test = seed.on_test(wanted)
                assert ("test" in point) == (on_test is not None) == (name != "msnet")
                if on_test is not None:
                    assert point["test"]["accuracy"] == on_test.accuracy
                if wish.macs is not None:
                    assert point["validation"]["expected_macs"] <= wish.macs
                else:
                    assert point["validation"]["accuracy"] >= 0.5


def test_networks_that_cannot_are_left_out() -> None:
    """And where none can, the reason is said."""
    perfect = find_frontier(np.full((2, 4), 0.5), np.ones((2, 4), bool), (100, 300))
    able = scores(0)
    able = type(able)(seed=0, frontier=perfect, macs=able.macs, test=None)
    found = Dynamics(networks=FOUND.networks, front=FOUND.front, seeds={**FOUND.seeds, "msnet": (able,)})
    assert [row["method"] for row in grant(found, Wish(accuracy=1.0))] == ["msnet"]
    with pytest.raises(ThresholdError, match="an accuracy must be at most"):
        grant(FOUND, Wish(accuracy=1.0))
    with pytest.raises(ThresholdError, match="expected MACs must be at least 100"):
        grant(FOUND, Wish(macs=99.0))


def test_it_is_printed() -> None:
    console = Console(file=io.StringIO(), width=120)
    print_granted(console, grant(FOUND, Wish(macs=250.0)), Wish(macs=250.0))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "at most 250 expected MACs" in text
    row = next(line for line in text.splitlines() if "msnet" in line)
    accuracy = np.mean([one.frontier.most_accurate(250.0).accuracy for one in FOUND.seeds["msnet"]])
    assert f"{100 * accuracy:.1f}±" in row


@pytest.mark.parametrize(
    ("macs", "accuracy", "message"),
    [
        ("2M", 0.5, "--macs and --accuracy must not both be given"),
        (None, 0.0, "--accuracy must be a share above 0 and at most 1, but is 0"),
        (None, 70.0, "--accuracy must be a share above 0 and at most 1, but is 70"),
        (None, float("nan"), "--accuracy must be a share"),
        ("many", None, "--macs must be a number such as 2M, but is 'many'"),
        ("0", None, "--macs must be above 0"),
        ("1e999", None, "--macs must be"),
    ],
)
def test_wishes_that_say_nothing(macs: str | None, accuracy: float | None, message: str) -> None:
    with pytest.raises(NasError, match=message):
        read_wish(macs, accuracy)
    assert read_wish(None, None) is None
    assert read_wish("2M", None) == Wish(macs=2e6)
