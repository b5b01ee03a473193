"""nas report and nas compare as a person runs them, and spec texts."""

import json
from pathlib import Path
from shutil import copytree

import pytest

from dashboards.compare import CompareError
from nas.show_compare import compare_named
from nas.show_report import choose_format, make_report_text, write_report
from nas.spec import parse_spec, read_spec
from nas.spec_text import write_spec_text
from search_spaces import NasError
from tests.conftest import SMALL, TIGHT, run_nas
from trials.store import Store, StoreError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_spec_written_down_is_the_same_spec(path: Path, tmp_path: Path) -> None:
    spec = read_spec(path)
    (tmp_path / "again.yaml").write_text(write_spec_text(spec.model_dump(mode="json")))
    assert read_spec(tmp_path / "again.yaml") == spec


def test_a_report_is_written_whole_and_never_over_another(tight_search: Path, tmp_path: Path) -> None:
    text = make_report_text("tight", f"sqlite:///{tight_search}/nas.db", "html")
    assert text.startswith("<!DOCTYPE html>")
    assert str(tight_search) not in text
    path = tmp_path / "r.html"
    write_report(text, path, force=False)
    with pytest.raises(NasError, match=r"a report must not replace .*r\.html; name another file, or use --force"):
        write_report("other", path, force=False)
    assert path.read_text() == text
    write_report("other", path, force=True)
    assert path.read_text() == "other"
    with pytest.raises(NasError, match="No such file"):
        write_report(text, tmp_path / "none" / "r.html", force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.parametrize(
    ("name", "asked", "form"),
    [
        ("r.html", None, "html"),
        ("r.md", None, "md"),
        ("r.txt", "json", "json"),
        (None, None, "md"),
        (None, "html", "html"),
    ],
)
def test_forms(name: str | None, asked: str | None, form: str) -> None:
    assert choose_format(Path(name) if name else None, asked) == form


def test_its_spec_repeats_the_search(tight_search: Path, tmp_path: Path) -> None:
    """What the report shows as spec begins a search whose jobs are those of the first."""
    text = make_report_text("tight", f"sqlite:///{tight_search}/nas.db", "md").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "tight.yaml").write_text(text)
    spec = read_spec(tmp_path / "tight.yaml")
    assert spec.meaning() == parse_spec(SMALL | TIGHT, origin="small").meaning()


def test_json_and_the_name_of_a_search(tight_search: Path) -> None:
    storage = f"sqlite:///{tight_search}/nas.db"
    listing = json.loads(make_report_text("tight", storage, "json"))
    front = json.loads(run_nas(tight_search, "front", "tight", "--json").stdout)
    assert listing["picks"] == front["picks"]
    assert listing["winner"] == front["winner"]
    with pytest.raises(StoreError, match=r"did you mean tight\?"):
        make_report_text("tigth", storage, "json")


def test_front_draws_itself(tight_search: Path) -> None:
    done = run_nas(tight_search, "front", "tight", "--plot")
    lines = done.stdout.splitlines()
    drawn = lines[lines.index("validation accuracy in %") :]
    assert all(len(line) <= 80 for line in drawn)
    cells = "".join(line.partition("|")[2] for line in drawn if "|" in line)
    assert cells.count("W") == cells.count("B") == 1
    assert "smallest, least macs among" in done.stdout


def test_methods_are_compared(tight_search: Path) -> None:
    done = run_nas(tight_search, "compare", "tight", "--methods", "uniform", "multipliers")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("A uniform, B multipliers; params at most 24,685, macs at most 88,540\n")
    assert "B - A on test: " in done.stdout
    assert "paired, n = 2" in done.stdout
    listing = json.loads(
        run_nas(tight_search, "compare", "tight", "--methods", "uniform", "multipliers", "--json").stdout
    )
    assert listing["pairs"][0]["validation"]["how"] == "paired"


def test_other_images_are_refused(tight_search: Path, tmp_path: Path) -> None:
    folder = copytree(tight_search, tmp_path / "copy")
    with Store(f"sqlite:///{folder}/nas.db", create=True) as store:
        search = store.search("tight")
        other = {**search.data, "split_fingerprint": "0" * 64}
        for name, data in (("same", search.data), ("split", other)):
            spec = {**search.spec, "name": name}
            store.begin(
                type(search)(
                    name=name, spec=spec, networks=search.networks, job_ids=search.job_ids, data=data, versions={}
                ),
                ["maximize", "minimize", "minimize"],
                ["accuracy", "macs", "params"],
            )
    storage = f"sqlite:///{folder}/nas.db"
    with pytest.raises(
        CompareError, match="must have the same splits to be compared, but those of 'tight' and 'split'"
    ):
        compare_named(["tight", "split"], None, storage)
    with pytest.raises(CompareError, match="'same' must have a trained network within both budgets, but has none"):
        compare_named(["tight", "same"], None, storage)
