"""`nas scale`: widths from a stored fit through the command line, and one clear line for what cannot be."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from search_spaces import count_cost
from search_spaces.widths import with_widths
from search_spaces.zoo import make_network
from tests.conftest import run_nas

EXAMPLE = Path(__file__).parents[2] / "examples" / "vgg11-fit.json"
FIT = json.loads(EXAMPLE.read_text())


def scaled(folder: Path, *arguments: str, fit: Any = FIT) -> dict[str, Any]:
    (folder / "fit.json").write_text(json.dumps(fit))
    done = run_nas(folder, "scale", "vgg11", "--fit", "fit.json", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    cost = count_cost(with_widths(make_network("vgg11"), found["widths"]))
    assert cost.bounded() == {name: found[name] for name in ("params", "macs", "activation_elements")}
    return found


def test_as_the_issue_asks(tmp_path: Path) -> None:
    least = {name: FIT[name] for name in ("alpha", "beta", "cost")}
    found = scaled(tmp_path, "--params", "0.58M", "--macs", "10M", fit=least)
    assert list(found) == [
        "widths", "params", "macs", "activation_elements", "tau", "binding", "shares", "extrapolated",
    ]  # fmt: skip
    assert 9.95e6 <= found["macs"] <= 1e7
    assert found["params"] <= 580_000
    assert (found["binding"], found["extrapolated"]) == ("macs", None)
    assert found["shares"] == {"params": found["params"] / 580_000, "macs": found["macs"] / 1e7}


@pytest.mark.parametrize("text", ["300K", "0.0324982x", "3e5", "300000"])
def test_bounds_as_in_specs(tmp_path: Path, text: str) -> None:
    found = scaled(tmp_path, "--params", text)
    assert 0.995 * 299_994 <= found["params"] <= 300_000
    assert found["extrapolated"] is False


def test_multiples_floors_activation_and_images(tmp_path: Path) -> None:
    found = scaled(tmp_path, "--params", "0.58M", "--multiple", "8", "--floor", "40")
    assert all(width >= 40 and width % 8 == 0 for width in found["widths"])
    assert scaled(tmp_path, "--activation", "0.5x")["activation_elements"] <= 65_536
    images = ["--resolution", "64", "--classes", "100", "--channels", "1"]
    (tmp_path / "fit.json").write_text(json.dumps(FIT))
    done = run_nas(tmp_path, "scale", "vgg11", "--fit", "fit.json", "--macs", "1x", *images, "--json")
    network = make_network("vgg11", resolution=64, classes=100, channels=1)
    found = json.loads(done.stdout)
    assert found["macs"] == count_cost(with_widths(network, found["widths"])).macs
    assert 0.995 < found["macs"] / count_cost(network).macs <= 1


def test_table(tmp_path: Path) -> None:
    done = run_nas(tmp_path, "scale", "vgg11", "--fit", str(EXAMPLE), "--params", "2x", "--macs", "1e10")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.strip().startswith("conv")]) == 8
    assert re.search(r"params, (99\.\d\d|100\.00)% of 18,462,228, binds\n", done.stdout)
    assert "of 10,000,000,000\n" in done.stdout
    assert "params, outside of the recorded 18,654 to 7,943,413" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vgg11", "--params", "100"], "params must be at least 134, which the narrowest network costs (widths 1,1,1"),
        (["vgg11"], "a budget must bound something; add one or more of --params, --macs, --activation"),
        (["vgg11", "--params", "many"], "--params must be a number such as 12, 0.05, 1e6, 0.58M or 300K, or 1.5x, but"),
        (["vgg11", "--macs", "0"], "--macs must be at least 1, but 0 of the network's 152769536 is 0"),
        (["resnet18", "--params", "1M"], "as many alpha as the network has width groups, 12, but has 8"),
        (["vgg12", "--params", "1M"], "did you mean 'vgg11'?"),
        (["vgg11", "--params", "1M", "--floor", "0"], "floor must be at least 1, but is 0"),
        (["vgg11", "--params", "1M", "--multiple", "0"], "multiple must be at least 1, but is 0"),
    ],
)
def test_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run_nas(tmp_path, "scale", "--fit", str(EXAMPLE), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "a fit must be a readable JSON file, but fit.json: No such file or directory"),
        ("alpha: 1", "a fit must be a readable JSON file, but fit.json: it is not JSON"),
        ('{"alpha": [1]}', "fit.json: a fit must be an object with alpha and beta (all keys: alpha, beta, cost, rows"),
        ('{"alpha": [NaN], "beta": [1]}', "fit.json: alpha of a fit must be a list of finite numbers, but is [nan]"),
        ('{"alpha": [1], "beta": [1], "tau": 5}', "fit.json: a fit must have no keys but alpha, beta, cost, rows, tau"),
    ],
)
def test_files_that_are_no_fit(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "fit.json").write_text(text)
    done = run_nas(tmp_path, "scale", "vgg11", "--fit", "fit.json", "--params", "1M")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
