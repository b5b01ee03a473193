"""`nas solve`: the counts of the reference through the command line, and what else it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_nas, write_spec

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "borji.json").read_text())
METHOD = {"name": "compensation"}


def write_net(folder: Path, name: str, **changes: Any) -> Path:
    """A spec whose base is one of the reference's networks without pools."""
    net = REFERENCE["nets"][name]
    convs = {
        f"conv{i}": {
            "channels": net[f"K{i}"],
            "kernel": net[f"C{i}"],
            "stride": net[f"S{i}"],
            "padding": net[f"P{i}"],
        }
        for i in (1, 2)
    }
    base = {"network": "lenet", "resolution": net["N"], "hidden": net["fc1"], **convs}
    return write_spec(folder, **{"base": base, "methods": [METHOD], **changes})


def counted(folder: Path, *arguments: str) -> dict[str, Any]:
    done = run_nas(folder, "solve", "small.yaml", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    listing: dict[str, Any] = json.loads(done.stdout)
    assert listing["count"] == len(listing["solutions"])
    return listing


@pytest.mark.parametrize("name", ["mnist_n14", "fmnist_n12"])
@pytest.mark.parametrize(
    ("approach", "keep", "constraint", "key"),
    [
        ("I", "flops", "flops", "n_solutions"),
        ("II", "params,flops", "params+flops", "n_solutions"),
        ("III", "flops", "flops", "n_torch_pool"),
        ("IV", "params", "params", "n_solutions"),
        ("IV", "flops", "flops", "n_solutions"),
    ],
)
def test_counts_of_the_reference(
    tmp_path: Path, name: str, approach: str, keep: str, constraint: str, key: str
) -> None:
    write_net(tmp_path, name)
    (entry,) = (
        entry
        for entry in REFERENCE["results"]
        if (entry["net"], entry["approach"], entry["constraint"]) == (name, approach, constraint)
        and entry.get("ranges", "inclusive") == "inclusive"
        and not entry.get("pooled_stack")
    )
    listing = counted(tmp_path, "--approach", approach, "--keep", keep)
    assert listing["count"] == entry[key]
    rows = [{name: row[name] for name in example} for example in entry["examples"] for row in listing["solutions"]]
    if key == "n_solutions":
        assert all(example in rows for example in entry["examples"])


def test_spec_decides_where_it_says_something(tmp_path: Path) -> None:
    method = {**METHOD, "approaches": ["II", "IV"], "keep": ["macs"], "tolerance": 0.05, "scope": "network"}
    write_net(tmp_path, "mnist_n14", methods=[method])
    listing = counted(tmp_path)
    assert (listing["approaches"], listing["keep"]) == (["II", "IV"], ["macs"])
    assert (listing["scope"], listing["tolerance"]) == ("network", 0.05)
    assert {row["approach"] for row in listing["solutions"]} == {"II", "IV"}
    macs = listing["base"]["macs"]
    assert all(0.95 * macs <= row["macs"] <= macs for row in listing["solutions"])
    assert any(not row["within_budget"] for row in listing["solutions"]), "params are bounded, too, but not kept"
    changed = counted(tmp_path, "--approach", "IV", "--tolerance", "0.01", "--scope", "layer", "--two-sided")
    assert (changed["approaches"], changed["scope"], changed["two_sided"]) == (["IV"], "layer", True)


def test_latency_is_not_measured(tmp_path: Path) -> None:
    write_net(tmp_path, "mnist_n14", budget={"params": "1.0x", "latency_ms": "1.0x"})
    listing = counted(tmp_path, "--approach", "IV", "--keep", "flops")
    assert listing["count"] == 47
    assert "latency_ms" not in listing["base"]


def test_approach_two_is_ranked_by_coverage(tmp_path: Path) -> None:
    write_net(tmp_path, "mnist_n14")
    shares = [row["coverage"] for row in counted(tmp_path, "--approach", "II", "--keep", "params")["solutions"]]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1
    assert shares[-1] < 0.7


def test_table(tmp_path: Path) -> None:
    write_net(tmp_path, "mnist_n14")
    done = run_nas(tmp_path, "solve", "small.yaml", "--approach", "IV", "--keep", "flops")
    assert "kept: the edited layers' flops, exactly" in done.stdout
    assert "approach IV: 47 networks" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.rstrip().endswith(("%", "over"))]) == 47


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--approach", "V"], "approaches.0 must be 'I', 'II', 'III' or 'IV', but got 'V'"),
        (["--keep", "colour"], "keep.0 must be 'params', 'macs', 'flops' or 'activation_elements', but got 'colour'"),
        (["--keep", "macs,macs"], "keep must name each one once"),
        (["--tolerance", "1.5"], "tolerance must be less than 1, but got 1.5"),
        (["--scope", "stem"], "scope must be 'network' or 'layer', but got 'stem'"),
    ],
)
def test_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    write_net(tmp_path, "mnist_n14")
    done = run_nas(tmp_path, "solve", "small.yaml", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_network_that_an_approach_cannot_edit(tmp_path: Path) -> None:
    write_spec(tmp_path, base={"network": "isometric:depth=2,internal=7", "resolution": 14}, methods=[METHOD])
    done = run_nas(tmp_path, "solve", "small.yaml", "--approach", "II", "--keep", "params")
    assert done.returncode == 2
    assert "approach II needs a conv that reads the image, but 'space_to_depth' (space_to_depth) does" in done.stderr
