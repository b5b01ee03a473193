"""What our pages of optuna-dashboard add, over real HTTP, on a real search whose base is over the budget."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from dashboards.overlay import best_trials
from tests.dashboards.test_serve import Answer, cookie, served
from trials.job import JobFailure
from trials.records import TrialRecord
from trials.store import Store


@pytest.fixture(scope="module")
def folder(tight_search: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, as the tests write."""
    return copytree(tight_search, tmp_path_factory.mktemp("served") / "tight")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with served(folder) as number:
        yield number


def ask(port: int, path: str) -> tuple[int, bytes]:
    answer = Answer(port, path, Cookie=cookie(port))
    return answer.status, answer.content


def study(port: int, query: str = "") -> dict[str, Any]:
    """As a page is told of it, once note and figures are made."""
    for _ in range(60):
        status, content = ask(port, f"/api/studies/1{query}")
        assert status == 200
        found: dict[str, Any] = json.loads(content)
        if found["note"]["body"]:
            return found
        time.sleep(0.5)
    raise AssertionError("there is no note after 30 s")


def test_best_trials_keep_the_budget(port: int) -> None:
    found = study(port)
    numbers = {trial["number"]: trial for trial in found["trials"]}
    over = {number for number, trial in numbers.items() if any(slack > 0 for slack in trial["constraints"])}
    assert over, "the base is over the budget"
    best = {trial["number"] for trial in found["best_trials"]}
    assert best
    assert not best & over
    signs = [-1 if name == "maximize" else 1 for name in found["directions"]]
    values = {
        number: [sign * value for sign, value in zip(signs, trial["values"], strict=True)]
        for number, trial in numbers.items()
        if number not in over
    }
    beaten = {
        one
        for one, own in values.items()
        if any(other != own and all(b <= a for a, b in zip(own, other, strict=True)) for other in values.values())
    }
    assert best == values.keys() - beaten


def test_figures_have_stable_ids_and_are_small(port: int) -> None:
    found = study(port)
    figures = {one["id"]: one["graph_object"] for one in found["plotly_graph_objects"]}
    wanted = ["front-params", "front-macs", "front-activation-elements", "resolution", "grid", "hypervolume"]
    assert list(figures) == wanted
    for text in figures.values():
        assert len(text) < 100_000
        assert json.loads(text)["layout"]["title"]["text"]
    names = {trace.get("name") for trace in json.loads(figures["front-macs"])["data"]}
    assert {"base, over the budget", "uniform (baseline)", "multipliers (baseline)", "winner"} <= names


def test_the_note_says_what_was_searched(port: int) -> None:
    note = study(port)["note"]["body"]
    for part in (
        "## tight",
        "uniform, multipliers",
        "mnist5k (3,000 train",
        "macs ≤ ",
        "**Winner**: ",
        "nas export tight",
    ):
        assert part in note


def test_only_new_trials_are_sent_but_all_best_ones(port: int) -> None:
    whole, rest = study(port), study(port, "?after=5")
    assert rest["trials"] == whole["trials"][5:]
    assert rest["best_trials"] == whole["best_trials"]


def test_a_note_of_a_person_stands(port: int, folder: Path) -> None:
    body = json.dumps({"version": 1, "body": "mine"}).encode()
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json", "Cookie": cookie(port)}
    connection.request("PUT", "/api/studies/1/note", body, headers)
    assert connection.getresponse().status == 204
    connection.close()
    assert study(port)["note"] == {"version": 1, "body": "mine"}


def test_results_that_come_are_shown(folder: Path, port: int) -> None:
    """Nothing is written by the server; a result of the driver's changes what it shows."""
    before = study(port)
    record = TrialRecord(
        params={}, spans={}, attributes={"job_id": "x", "network_id": "x", "resolution": 14, "seed": 0, "method": "m"},
        objectives=["accuracy", "macs", "params"], constraints={},
    )  # fmt: skip
    with Store(f"sqlite:///{folder}/nas.db", create=True) as store:
        store.record_trial("tight", record, JobFailure(message="WorkerDied: x"))
    for _ in range(60):
        found = study(port)
        if len(found["trials"]) > len(before["trials"]):
            break
        time.sleep(0.5)
    assert len(found["trials"]) == len(before["trials"]) + 1
    assert found["best_trials"] == before["best_trials"], "a failed trial is not among the best"


def test_pages_give_wide_figures_room(port: int) -> None:
    status, content = ask(port, "/dashboard/studies/1")
    assert status == 200
    assert b'[id="user-defined-plot:grid"]{height:' in content
    assert content.count(b"</head>") == 1


def test_studies_that_are_not_there(port: int) -> None:
    assert ask(port, "/api/studies/99")[0] == 404


def trial(*values: float, constraints: tuple[float, ...] = (), state: str = "Complete") -> dict[str, Any]:
    return {"values": list(values), "constraints": list(constraints), "state": state}


def test_feasible_trials_are_not_pushed_out_by_infeasible_ones() -> None:
    """Which filtering optuna-dashboard's own list would not bring back."""
    over, kept, beaten = trial(0.9, 10, constraints=(1.0,)), trial(0.8, 20, constraints=(0.0,)), trial(0.7, 30)
    running = trial(1.0, 1, state="Running")
    assert best_trials([over, kept, beaten, running], ["maximize", "minimize"]) == [kept]
    single = [trial(0.9, constraints=(1.0,)), trial(0.8), trial(0.7)]
    assert best_trials(single, ["maximize"]) == [single[1]], "also of one objective"
    assert best_trials([over, running], ["maximize", "minimize"]) == []
