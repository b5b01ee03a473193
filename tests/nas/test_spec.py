"""The spec: what it means, and one clear line for what it may not say."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.method_spec import CompensationSpec
from nas.planning import make_plan
from nas.spec import Spec, parse_spec, read_spec
from nas.spec_errors import SpecError
from search_spaces import NasError
from tests.conftest import SMALL

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart.yaml"


def test_the_example() -> None:
    spec = read_spec(EXAMPLE)
    assert (spec.name, spec.base.resolution, spec.train.seeds, spec.search.max_candidates) == ("digits-14px", 14, 3, 12)
    (method,) = spec.methods
    assert isinstance(method, CompensationSpec)
    assert method.tolerance == 0.05
    assert spec.objectives == ("accuracy", "macs")


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace("params: 1.0x", "params: 0.58M").replace("macs: 1.0x", "macs: 1e6")
    text = text.replace("epochs: 10", "epochs: 1e1").replace("hidden: 50", "hidden: 0.05K")
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    spec = read_spec(path)
    assert (spec.train.epochs, spec.base.hidden) == (10, 50)
    assert spec.budget.params == "0.58M"


def test_bounds_also_by_their_short_names() -> None:
    spec = parse_spec(SMALL | {"budget": {"activation": "0.9x", "latency": 5}}, origin="short")
    assert (spec.budget.activation_elements, spec.budget.latency_ms) == ("0.9x", "5")
    assert parse_spec(spec.model_dump(mode="json"), origin="stored") == spec


def changed(place: str, value: Any) -> dict[str, Any]:
    """The small spec with one value replaced; `...` removes it."""
    data: dict[str, Any] = parse_spec(SMALL, origin="small").model_dump(mode="json", exclude_unset=True)
    section: Any = data
    *outer, last = place.split(".")
    for part in outer:
        section = section[int(part)] if part.isdigit() else section.setdefault(part, {})
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return data


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            "epochs",
            3,
            "x.yaml: unknown key 'epochs' at the top; known keys: name, data, base, budget, latency, methods, ",
        ),
        ("train.epoch", 3, "unknown key 'epoch' in train; known keys: epochs, batch_size, accumulate, "),
        ("base.conv1.width", 3, "unknown key 'width' in base.conv1; known keys: channels, kernel, stride, padding"),
        ("data.split.train", 0.5, r"unknown key 'train' in data.split; known keys: validation, test, seed"),
        ("methods.0.tol", 1, "unknown key 'tol' in methods.0; known keys: name, approaches, keep"),
        ("base", ..., "key 'base' is required, but missing"),
        ("base.conv1.kernel", ..., "key 'base.conv1.kernel' is required, but missing"),
        ("train.epochs", "ten", "train.epochs must be a number such as .*, but got 'ten'"),
        ("train.epochs", True, "train.epochs must be a number such as .*, but got True"),
        ("train.epochs", 1.5, r"train.epochs must be a whole number, but got 1\.5"),
        ("train.epochs", 0, "train.epochs must be greater than or equal to 1, but got 0"),
        ("train.epochs", [1], "train.epochs must be a number"),
        ("train.preset", "adam", "train.preset must be 'borji', 'neuralscale-cifar', .* or 'fast', but got 'adam'"),
        ("train", {"optimizer": "sgd"}, "learning_rate must be given where optimizer is not the preset's"),
        ("train", {"schedule": "step", "milestones": [0.5, 0.2]}, "milestones must rise"),
        ("race.eta", 1, "race.eta must be greater than or equal to 2, but got 1"),
        ("race", {"min_epochs": 10}, "race.min_epochs must be below train.epochs"),
        ("train", 3, "train must hold keys, such as {name: value}, but got 3"),
        ("base.network", ..., "base must name either network or module"),
        ("base.module", "a:b", "base must name either network or module"),
        ("base.network", "resnet18", "base must say conv1, conv2 for network lenet alone, not for resnet18"),
        ("base.conv2", ..., "base must say conv2 for network lenet"),
        ("base.width", 0, r"base.width must be greater than 0, but got 0"),
        ("base.widths", [], "base.widths .* at least 1 item"),
        ("latency.batch_size", 0, "latency.batch_size must be greater than or equal to 1"),
        (
            "budget.time",
            "1x",
            "unknown key 'time' in budget; known keys: params, macs, macs_worst, activation_elements, lat",
        ),
        ("base.pool", "maybe", "base.pool must be a valid boolean, but got 'maybe'"),
        ("data.split", {"test": 0.6}, r"data.split.test must be less than 0\.5, but got 0\.6"),
        ("budget", {}, "budget must name at least one of params, macs, macs_worst, activation_elements"),
        ("budget.params", "much", "budget.params must be a number"),
        ("budget.params", "0x", "budget.params must be above 0"),
        ("budget", {"params": None}, "budget must name at least one of params, macs, macs_worst, activation_elements"),
        ("budget.params", "1e19", "budget.params must be above 0 and at most 1e15"),
        ("base.conv1.padding", 10**99, "base.conv1.padding must be less than or equal to 4096"),
        ("data.split", {"seed": 1e20}, "data.split.seed must be less than 4294967296"),
        ("methods.0.stride", [0, 5], "methods.0.stride must begin at 1 or more"),
        ("methods.0.kernel", [3, 9999], "methods.0.kernel must be .lowest, highest., at most 4096"),
        ("methods.0.approaches", ["V"], "methods.0.approaches.0 must be 'I', 'II', 'III' or 'IV', but got 'V'"),
        ("methods.0.kernel", [5, 3], r"methods.0.kernel must be \[lowest, highest\]"),
        ("objectives", ["macs", "accuracy"], "objectives must begin with accuracy"),
        ("objectives", ["accuracy"], "objectives must hold accuracy and at least one cost"),
        ("name", "../../etc/passwd", "name must be 1 to 64 letters, digits"),
        ("name", "a\x1b[31m", "name must be 1 to 64 letters, digits"),
        ("name", "", "name must be 1 to 64 letters, digits"),
    ],
)
def test_one_clear_line(place: str, value: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        parse_spec(changed(place, value), origin="x.yaml")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("x.yaml: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "must be YAML, but"),
        ("name: a\nname: b\n", 'must be YAML, but.*found duplicate key "name"'),
        ("!!python/object/apply:os.system ['true']", "must be YAML, but.*could not determine a constructor"),
        ("name: 2024-13-45", "must be YAML, but: month must be in 1..12"),
        ("name: !!float abc", "must be YAML, but"),
        ("[" * 3000, "must nest at most 50 deep"),
        ("- 1", "must hold keys such as name, data and base, but holds list"),
        ("", "must hold keys such as name, data and base, but holds NoneType"),
    ],
)
def test_bad_files(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=message):
        read_spec(path)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="nothing: No such file"):
        read_spec(tmp_path / "nothing")
    with pytest.raises(SpecError, match="Is a directory"):
        read_spec(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="not UTF-8 text"):
        read_spec(tmp_path / "binary")


@settings(max_examples=60)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4))
def test_any_value_anywhere_is_taken_or_explained(value: Any) -> None:
    for place in ("train.epochs", "budget.macs", "base.conv2", "methods", "objectives", "storage"):
        with suppress(NasError):
            make_plan(parse_spec(changed(place, value), origin="x.yaml"))


def test_meaning_leaves_out_what_changes_no_number(small: Callable[..., Spec]) -> None:
    data = {"source": "mnist5k", "memory_share": 0.5}
    one = small(data=data, search={"workers": 1, "max_candidates": 2}, storage="sqlite:///b.db")
    assert one.meaning() == small().meaning()
    assert one.meaning() != small(train={"epochs": 2, "seeds": 2}).meaning()


@pytest.mark.parametrize("path", sorted(EXAMPLE.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_a_spec(path: Path) -> None:
    assert read_spec(path).name == path.stem or path == EXAMPLE
