"""Reports of a real search, in each form, and of one whose texts are hostile."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dashboards.compare import CompareError, compare_methods, compare_searches
from dashboards.descent import read_descent_data
from dashboards.figures import figures_of
from dashboards.front import read_front
from dashboards.note import fenced, make_note
from dashboards.report import Report, read_report
from dashboards.report_facts import report_markdown
from dashboards.report_html import report_html
from tests.trials.test_store import SEARCH
from trials.store import Store, StoreError
from trials.times import seconds_to_results

BAD = "</script><img src=x onerror=alert(1)>|`[a](javascript:1)"


@pytest.fixture(scope="module")
def report(tight_search: Path) -> Report:
    with Store(f"sqlite:///{tight_search}/nas.db") as store:
        return read_report(store, "tight")


class _Page(HTMLParser):
    """Tags, and what loads something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_loads_nothing(report: Report) -> None:
    text = report_html(report, "name: tight\n")
    page = _Page(text)
    assert not [
        tag for tag, attributes in page.tags if attributes.keys() & {"src", "action"} or tag in ("link", "base")
    ]
    assert {attributes["href"] for tag, attributes in page.tags if tag == "a"} <= {
        "#figures-of",
        "#networks",
        "#winner",
        "#repeat",
    }
    assert "default-src 'none'" in text
    assert len(text) < 3_000_000


def test_every_network_and_layer_is_in_the_page(report: Report) -> None:
    text = report_html(report, "name: tight\n")
    for network in report.front.networks:
        assert f"{network.costs['macs']:,.0f}" in text
    (drawing,) = report.drawings
    assert report.front.winner is not None
    assert (drawing.params, drawing.macs) == tuple(report.front.winner.costs[name] for name in ("params", "macs"))
    assert text.count("<svg") == len(drawing.rows)
    figures = json.loads(re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text)[0])
    assert [one["id"] for one in figures] == [one.id for one in report.pictures]
    assert "over budget" in text


def test_hostile_texts_are_texts(report: Report) -> None:
    """In the name, labels of networks, failures and the spec: as a foreign database may hold them."""
    networks = tuple(replace(network, method=BAD) for network in report.front.networks)
    front = replace(report.front, name=BAD, networks=networks, winner=networks[0], base=networks[1])
    bad = replace(report, front=front, search=replace(report.search, name=BAD))
    text = report_html(bad, BAD)
    page = _Page(text)
    known = _Page(report_html(report, "x"))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in known.tags], "no tag more"
    assert "onerror=alert" not in re.sub(r"&lt;img src=x onerror=alert", "", text)
    assert "<img" not in without_code(report_markdown(bad, BAD)).replace(r"\<img", "")
    assert "<img" not in without_code(make_note(bad.search, front)).replace(r"\<img", "")


def without_code(text: str) -> str:
    """Markdown without its blocks of code, in which all stands as it is; each must have an end."""
    left, kinds = re.subn(r"^(```+)\w+\n.*?\n\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert kinds
    assert "```" not in left.replace("\\`", "")
    return left


def test_nothing_ends_a_block_of_code() -> None:
    assert fenced("yaml", "a: |\n  ```\n  ````\n") == ["`````yaml", "a: |", "  ```", "  ````", "`````"]


def test_figures_show_hostile_names_as_they_are(tight_search: Path) -> None:
    with Store(f"sqlite:///{tight_search}/nas.db") as store:
        front = read_front(store, "tight")
        named = replace(front, networks=tuple(replace(one, method=BAD, family="") for one in front.networks))
        for picture in figures_of(store, named):
            assert "<img" not in picture.to_json() + picture.for_dashboard()


def test_json_has_what_the_front_has(report: Report) -> None:
    listing = report.to_json()
    assert json.loads(json.dumps(listing)) == listing
    assert listing["winner"] == report.front.to_json()["winner"]
    assert len(listing["networks"]) == len(report.front.networks)
    assert [pick["pick"] for pick in listing["picks"]] == ["best", "smallest", "knee"]
    layers = listing["winner_layers"][0]["layers"]
    assert sum(layer["macs"] for layer in layers) == listing["winner"]["macs"]
    assert "storage" not in listing["spec"]


def test_markdown_has_all_tables(report: Report) -> None:
    text = report_markdown(report, "name: tight\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(report.front.networks) + len(report.drawings[0].rows)
    assert len({line.count("|") for line in rows[: len(report.front.networks) + 1]}) == 1
    assert "```yaml\nname: tight\n```" in text


def test_descent_of_an_early_version_is_one_line(tmp_path: Path) -> None:
    data = {"descents": {"neuralscale": {"iterations": [], "groups": ["conv1"], "ended": ""}}}
    with Store(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        store.begin(replace(SEARCH, data=data), ["maximize"], ["accuracy"])
        with pytest.raises(StoreError, match="the descent of 'a' must state 'tau', but was kept by an early version"):
            read_descent_data(store, "a")


def test_times_of_results(tight_search: Path, report: Report) -> None:
    ids = [job_id for network in report.front.networks for job_id in network.job_ids.values()]
    with Store(f"sqlite:///{tight_search}/nas.db") as store:
        found = seconds_to_results(store, "tight", [*ids, "0" * 16])
    assert found.keys() == set(ids)
    assert 0 < min(found.values()) <= max(found.values()) < 600


def test_two_methods_of_a_search(tight_search: Path, report: Report) -> None:
    with Store(f"sqlite:///{tight_search}/nas.db") as store:
        found = compare_methods(store, "tight", "uniform", "multipliers")
        with pytest.raises(CompareError, match="but 'magic' has none: base, multipliers, uniform"):
            compare_methods(store, "tight", "uniform", "magic")
        with pytest.raises(CompareError, match="must have a trained network within both budgets"):
            compare_methods(store, "tight", "base", "uniform")
        with pytest.raises(CompareError, match="but both are 'tight'"):
            compare_searches(store, "tight", "tight")
    assert found.same_budget
    assert found.budget == report.bounds
    (pair,) = found.pairs
    for network, family in ((pair.before, "uniform"), (pair.after, "multipliers")):
        own = [one for one in report.front.networks if one.family == family and one.feasible]
        assert network.final.mean == max(one.final.mean for one in own)
    assert pair.test is not None
    assert pair.test.mean == pytest.approx(pair.after.test.mean - pair.before.test.mean)  # type: ignore[union-attr]
    assert found.a.hypervolume is not None
    assert json.loads(json.dumps(found.to_json()))["b"]["name"] == "multipliers"
