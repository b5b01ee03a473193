"""A first spec: from options, from a person in a terminal, and from anything else one line."""

import tarfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.ask import Ask
from nas.first_methods import PHRASES
from nas.first_spec import make_first_spec
from nas.planning import make_plan
from nas.spec import Spec, parse_spec, read_spec
from nas.spec_errors import _models
from nas.texts import parse_yaml
from search_spaces import NasError
from search_spaces.zoo import ZOO
from tests.conftest import run_nas
from tests.small_disk import fill, small_disk
from tests.terminal import CTRL_C, CTRL_D, talk

ENOUGH = ("--data", "mnist5k", "--base", "resnet18", "--resolution", "14", "--params", "100%")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of images: of one size, and of several."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for kind in ("same", "several"):
        for label in ("cat", "dog"):
            (folder / kind / label).mkdir(parents=True)
            for i in range(15):
                size = (24, 24) if kind == "same" or i else (30, 20)
                pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / kind / label / f"{i}.png")
    with tarfile.open(folder / "same.tar.gz", "w:gz") as archive:
        archive.add(folder / "same", "same")
    return folder


def test_from_options_alone(tmp_path: Path) -> None:
    done = run_nas(tmp_path, "init", *ENOUGH)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "wrote search.yaml\nnext: nas plan search.yaml\n      nas search search.yaml\n"
    spec = read_spec(tmp_path / "search.yaml")
    assert (spec.name, spec.base.resolution, spec.budget.params, spec.budget.macs) == (
        "mnist5k-resnet18", 14, "1.0x", None,
    )  # fmt: skip
    assert [method.name for method in spec.methods] == ["compensation"]  # as the images have more pixels
    assert (spec.train.preset, spec.train.epochs, spec.train.seeds) == ("fast", 10, 3)
    text = (tmp_path / "search.yaml").read_text()
    assert "Found: 5,000 images of 28 px, grey, 10 classes: 3,000 train, 1,000 validation, 1,000 test" in text
    assert len(make_plan(spec).networks) > 1


def test_every_option(pictures: Path, tmp_path: Path) -> None:
    options = {
        "--data": str(pictures / "several"),
        "--side": "20",
        "--base": "lenet:channels1=12,kernel2=5,pool=true",
        "--width": "0.5",
        "--resolution": "16",
        "--params": "50%",
        "--macs": "1M",
        "--activation": "none",
        "--preset": "borji",
        "--epochs": "2",
        "--seeds": "1",
        "--name": "mine",
    }
    flags = [part for pair in options.items() for part in pair]
    done = run_nas(tmp_path, "init", "-", *flags, "--method", "uniform", "--method", "morphnet")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    spec = parse_spec(parse_yaml(done.stdout, "stdout"), origin="stdout")
    assert (spec.data.source, spec.data.side) == (str(pictures / "several"), 20)
    assert spec.base.conv1 is not None
    assert spec.base.conv2 is not None
    assert (spec.base.conv1.channels, spec.base.conv2.kernel, spec.base.pool) == (12, 5, True)
    assert (spec.base.width, spec.base.resolution) == (0.5, 16)
    assert (spec.budget.params, spec.budget.macs, spec.budget.activation_elements) == ("0.5x", "1M", None)
    assert [method.name for method in spec.methods] == ["uniform", "morphnet"]
    assert (spec.train.preset, spec.train.epochs, spec.train.seeds, spec.train.confirm) == ("borji", 2, 1, 1)
    assert spec.name == "mine"
    assert "  side: 20\n" in done.stdout
    assert "  width: 0.5  # Multiplier of all widths.\n" in done.stdout


def test_a_folder_and_its_archive_are_the_same(pictures: Path, tmp_path: Path) -> None:
    for source in ("same", "same.tar.gz"):
        done = run_nas(
            tmp_path, "init", f"{source}.yaml", "--data", str(pictures / source), "--base", "resnet18", "--macs", "1M"
        )
        assert done.returncode == 0, done.stderr
        spec = read_spec(tmp_path / f"{source}.yaml")
        assert spec.name == "same-resnet18"
        assert spec.base.resolution == 24
        assert "30 images of 24 px, 3 channels, 2 classes" in (tmp_path / f"{source}.yaml").read_text()


def test_in_a_terminal(pictures: Path, tmp_path: Path) -> None:
    told = talk(tmp_path, ["init"], [
        ("images [mnist5k]: ", "nowhere"), ("images [mnist5k]: ", str(pictures / "several")),
        ("side [64]: ", "24"),
        ("base [lenet]: ", "resnet81"), ("base [lenet]: ", "resnet18"),
        ("resolution [24]: ", "100"), ("resolution [24]: ", "12"),
        ("[100%]: ", "none"), ("[100%]: ", "none"), ("[none]: ", ""),
        ("[100%]: ", "1 MB"), ("[100%]: ", "50%"), ("[100%]: ", ""), ("[none]: ", ""),
        ("methods [", "unifrom"), ("methods [", "uniform"),
        ("preset [fast]: ", ""), ("epochs of each training [10]: ", "three"), ("epochs of each training [10]: ", "3"),
        ("[3]: ", "1"),
        ("[several-resnet18]: ", "my search"), ("[several-resnet18]: ", "")])  # fmt: skip
    assert told.returncode == 0, told.shown
    for said in (
        "data.source must be mnist5k, torchvision:NAME",
        "the images have several sizes, or are not square",
        "30 images of 24 px, 3 channels, 2 classes: 18 train, 6 validation, 6 test",
        "did you mean 'resnet18'?",
        "base.resolution must be at most",
        "it costs 11,1",
        "budget must name at least one of params, macs",
        "a bound must be a number as 0.58M or 300K, or a share as 50%, but is '1 MB'",
        "magnitude     trains the base",
        "methods.0.name must be one of",
        "train.epochs must be a number",
        "name must be 1 to 64 letters",
        "wrote search.yaml",
    ):
        assert said in told.shown, said
    spec = read_spec(tmp_path / "search.yaml")
    assert (spec.data.side, spec.base.resolution, spec.budget.params, spec.budget.macs) == (24, 12, "0.5x", "1.0x")
    assert [method.name for method in spec.methods] == ["uniform"]
    assert (spec.train.epochs, spec.train.seeds) == (3, 1)


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
def test_stopped_in_a_terminal(key: str, tmp_path: Path) -> None:
    told = talk(tmp_path, ["init"], [("images [mnist5k]: ", ""), ("base [lenet]: ", key)])
    assert told.returncode == 130
    assert told.shown.endswith("stopped; nothing is written\n")
    assert list(tmp_path.iterdir()) == []


def test_with_enough_options_a_terminal_is_not_asked(tmp_path: Path) -> None:
    told = talk(tmp_path, ["init", *ENOUGH], [])
    assert told.returncode == 0
    assert told.shown.startswith("wrote search.yaml\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--data must be given where nobody can be asked; images: mnist5k, torchvision:NAME, a folder"),
        (("--data", "mnist5k"), "--base must be given where nobody can be asked; the network to beat: lenet"),
        (("--data", "no", "--base", "resnet18"), "data.source must be mnist5k, torchvision:NAME, or a folder"),
        (("--data", "torchvision:Nothing"), "torchvision: must be followed by one of CIFAR10, CIFAR100"),
        (("--data", "mnist5k", "--base", "resnet81"), "did you mean 'resnet18'?"),
        (("--data", "mnist5k", "--base", "resnet18", "--resolution", "29"), "--resolution: base.resolution must be at"),
        (("--data", "mnist5k", "--base", "resnet18", "--width", "-1"), "base.width must be a number"),
        (("--data", "mnist5k", "--base", "module:own:make"), "pass --allow-code"),
        ((*ENOUGH[:-1], "1"), "a network must have 1 to 1 params (tolerance 0.05), but none of approach IV has"),
        ((*ENOUGH[:-1], "-3"), "--params: a bound must be a number as 0.58M or 300K, or a share as 50%, but is '-3'"),
        ((*ENOUGH[:-1], "none"), "budget must name at least one of params, macs"),
        ((*ENOUGH, "--method", "dilated"), "--method: methods: dilated: dilated: a dilated network needs depthwise"),
        ((*ENOUGH, "--method", "uniform", "--method", "uniform"), "--method: methods must name each method once"),
        ((*ENOUGH, "--preset", "best"), "--preset: train.preset must be"),
        ((*ENOUGH, "--epochs", "0"), "--epochs: train.epochs must be"),
        ((*ENOUGH, "--seeds", "many"), "--seeds: train.seeds must be a number"),
        ((*ENOUGH, "--name", "../x"), "--name: name must be 1 to 64 letters"),
    ],
)
def test_one_line_that_names_the_option(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = run_nas(tmp_path, "init", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_images_of_several_sizes_name_the_option(pictures: Path, tmp_path: Path) -> None:
    done = run_nas(tmp_path, "init", "--data", str(pictures / "several"), "--base", "resnet18")
    assert done.returncode == 2
    assert "images must be square and of one size" in done.stderr
    assert done.stderr.endswith("(--side)\n")


def test_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "search.yaml").write_text("mine")
    done = run_nas(tmp_path, "init", *ENOUGH)
    assert done.returncode == 2
    assert "the file must be new, but search.yaml exists; choose another or pass --force" in done.stderr
    assert (tmp_path / "search.yaml").read_text() == "mine"
    assert run_nas(tmp_path, "init", "search.txt", *ENOUGH).returncode == 2
    assert run_nas(tmp_path, "init", "no/search.yaml", *ENOUGH).returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["search.yaml"]
    assert run_nas(tmp_path, "init", "--force", *ENOUGH).returncode == 0
    assert read_spec(tmp_path / "search.yaml").name == "mnist5k-resnet18"
    assert [path.name for path in tmp_path.iterdir()] == ["search.yaml"]


def test_a_schema_beside_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "spec.schema.json").write_text(run_nas(tmp_path, "schema").stdout)
    assert run_nas(tmp_path, "init", *ENOUGH).returncode == 0
    first = (tmp_path / "search.yaml").read_text().partition("\n")[0]
    assert first == "# yaml-language-server: $schema=spec.schema.json"


def test_storage_of_the_environment_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_STORAGE", "sqlite:///elsewhere.db")
    assert run_nas(tmp_path, "init", *ENOUGH).returncode == 0
    assert "storage:" not in (tmp_path / "search.yaml").read_text()
    assert read_spec(tmp_path / "search.yaml").storage == "sqlite:///elsewhere.db"


def test_code_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)\n"
        "    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), *head)\n"
    )
    done = run_nas(
        tmp_path, "init", "--data", "mnist5k", "--base", "module:own:make", "--params", "50%", "--allow-code"
    )
    assert done.returncode == 0, done.stderr
    assert "nas search search.yaml --allow-code" in done.stdout
    assert read_spec(tmp_path / "search.yaml").base.module == "own:make"


def test_all_methods_have_a_phrase() -> None:
    models = _models(Spec.model_fields["methods"].annotation)
    assert PHRASES.keys() == {get_args(model.model_fields["name"].annotation)[0] for model in models}


ANSWERS = {
    "data": st.sampled_from(["mnist5k", "mnist5k", "mnist5k", "nothing", ""]) | st.text(max_size=8),
    "base": st.sampled_from([*ZOO, "resnet18:stem=32", "lenet:kernel1=5"]) | st.text(max_size=8),
    "resolution": st.integers(1, 40).map(str) | st.text(max_size=4),
    "params": st.sampled_from(["100%", "50%", "0.25x", "300K", "none", "", "1"]) | st.text(max_size=5),
    "macs": st.sampled_from(["100%", "10%", "5M", "none", "2"]) | st.text(max_size=5),
    "method": st.sampled_from(sorted(PHRASES)) | st.lists(st.sampled_from(sorted(PHRASES)), max_size=3).map(",".join),
    "epochs": st.integers(-1, 30).map(str),
    "name": st.sampled_from(["mine", "a/b"]) | st.text(max_size=5),
}


@settings(max_examples=120)
@given(
    st.fixed_dictionaries(
        {"data": ANSWERS["data"], "base": ANSWERS["base"]},
        optional={name: answers for name, answers in ANSWERS.items() if name not in ("data", "base")},
    )
)
def test_any_answers_give_one_line_or_a_spec(answers: dict[str, str]) -> None:
    try:
        made = make_first_spec(Ask(answers, None))
    except NasError:
        return
    spec = parse_spec(parse_yaml(made.text, "text"), origin="text")
    plan = make_plan(spec)
    assert len(plan.networks) > 1 or plan.prunings or plan.dynamics
    assert spec == made.plan.problem.spec


def test_nothing_is_left_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        fill(disk)
        done = run_nas(tmp_path, "init", "disk/search.yaml", *ENOUGH)
        assert done.returncode == 2
        assert done.stderr == "error: files must be writable, but disk/search.yaml: No space left on device\n"
        assert [path.name for path in disk.iterdir()] == ["filler"]
