"""nas report and nas compare as a person runs them, and spec texts."""

import json
from pathlib import Path
from shutil import copytree

import pytest

from nas.spec import parse_spec, read_spec
from nas.spec_text import write_spec_text
from tests.conftest import SMALL, TIGHT, run_nas
from trials.store import Store

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_spec_written_down_is_the_same_spec(path: Path, tmp_path: Path) -> None:
    spec = read_spec(path)
    (tmp_path / "again.yaml").write_text(write_spec_text(spec.model_dump(mode="json")))
    assert read_spec(tmp_path / "again.yaml") == spec


def test_a_report_is_written_whole_and_once(tight_search: Path, tmp_path: Path) -> None:
    storage = ("--storage", f"sqlite:///{tight_search}/nas.db")
    done = run_nas(tmp_path, "report", "tight", "-o", "r.html", *storage)
    assert (done.returncode, done.stdout) == (0, "wrote r.html\n"), done.stderr
    written = (tmp_path / "r.html").read_text()
    assert written.startswith("<!DOCTYPE html>")
    assert str(tight_search) not in written
    again = run_nas(tmp_path, "report", "tight", "-o", "r.html", *storage)
    assert again.returncode == 2
    assert again.stderr == "error: a report must not replace r.html; name another file, or use --force\n"
    assert run_nas(tmp_path, "report", "tight", "-o", "r.html", "--force", *storage).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_its_spec_repeats_the_search(tight_search: Path, tmp_path: Path) -> None:
    """What the report shows as spec begins a search whose jobs are those of the first."""
    done = run_nas(tight_search, "report", "tight")
    text = done.stdout.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "tight.yaml").write_text(text)
    spec = read_spec(tmp_path / "tight.yaml")
    assert spec.meaning() == parse_spec(SMALL | TIGHT, origin="small").meaning()


def test_json_and_the_reasons_of_refusal(tight_search: Path) -> None:
    listing = json.loads(run_nas(tight_search, "report", "tight", "--format", "json").stdout)
    front = json.loads(run_nas(tight_search, "front", "tight", "--json").stdout)
    assert listing["picks"] == front["picks"]
    assert listing["winner"] == front["winner"]
    unknown = run_nas(tight_search, "report", "tigth")
    assert unknown.returncode == 2
    assert "did you mean tight?" in unknown.stderr


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
    assert done.stdout.startswith("A uniform, B multipliers; macs at most 88,540, params at most 24,685\n")
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
    done = run_nas(folder, "compare", "tight", "split")
    assert done.returncode == 2
    assert "searches must have the same splits to be compared, but those of 'tight' and 'split' differ" in done.stderr
    waiting = run_nas(folder, "compare", "tight", "same")
    assert waiting.returncode == 2
    assert "'same' must have a trained network within both budgets, but has none" in waiting.stderr
