"""Files from elsewhere: no code in YAML, nothing much larger than it looks, one line for what is refused."""

import os
from pathlib import Path

import pytest

from nas.spec import parse_spec, read_spec
from nas.spec_errors import SpecError
from nas.texts import MOST_YAML, TextError, check_letters, parse_yaml, read_json, read_text

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch {marker}']",
        "!!python/object/new:os.system ['touch {marker}']",
        "!!python/name:os.system",
        "!!python/module:os",
        "a: !!python/object:trials.data.Dataset {{}}",
        "!<tag:yaml.org,2002:python/object/apply:subprocess.run> [[touch, '{marker}']]",
    ],
)
def test_no_tag_names_an_object_of_python(text: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(TextError, match="t must be YAML, but: could not determine a constructor"):
        parse_yaml(text.format(marker=marker), "t")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "t must hold at most 20,000 values, aliases counted with what they stand for"),
        ("[" + "1," * 30_000, "t must hold at most 20,000 values"),
        ("[" * 100_000, "t must nest at most 50 deep"),
        ("- " * 100_000, "t must nest at most 50 deep"),
        ("&a [*a]", r"t: alias \*a must follow what it stands for"),
        ("a: &a {b: [*a]}", r"t: alias \*a must follow what it stands for"),
        ("a: &x 1\nb: &x 2", "t: anchor &x must stand once, but stands twice"),
        ("&x [&x 1]", "t: anchor &x must stand once, but stands twice"),
        ("a: 2001-99-99", "t must be YAML, but: month must be in"),
        ("a: " + "1" * 10_000, "t must be YAML, but: Exceeds the limit"),
        ("{a: 1, a: 2}", "t must be YAML, but: .*duplicate key"),
        ("a: 1\n---\nb: 2", "t must be YAML, but: expected a single document"),
        ("!!bool maybe", "t must be YAML, but: 'maybe'"),
        ("a: [1", "t must be YAML, but: "),
    ],
)
def test_texts_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(TextError, match=message) as caught:
        parse_yaml(text, "t")
    assert "\n" not in str(caught.value)


def test_aliases_are_allowed() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: &y {d: *x}\ne: *y", "t") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": [1, 2]},
        "e": {"d": [1, 2]},
    }


def test_long_files_are_not_read_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)  # takes no room
    with pytest.raises(SpecError, match=r"huge\.yaml: it has more than 131,072 bytes"):
        read_spec(path)
    with pytest.raises(SpecError, match="/dev/zero: it has more than 131,072 bytes"):
        read_spec(Path("/dev/zero"))
    with pytest.raises(TextError, match=r"a fit, but .*huge\.yaml: it has more than 33,554,432 bytes"):
        read_json(path, "a fit")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff", "it is not UTF-8 text"), (b"a" * (MOST_YAML + 1), "it has more than 131,072 bytes")],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(TextError, match=f"w, but .*t: {message}"):
        read_text(tmp_path / "t", "w", MOST_YAML)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "n" * 300, "no/such", "", "link"])
def test_names_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink("link", "link")
    with pytest.raises(TextError, match=r"^w, but "):
        read_text(Path(name), "w", MOST_YAML)


@pytest.mark.parametrize("json", ["[" * 100_000, "1" * 10_000, "{", ""])
def test_json_that_is_none(tmp_path: Path, json: str) -> None:
    (tmp_path / "t.json").write_text(json)
    with pytest.raises(TextError, match=r"w, but .*t\.json: it is not JSON"):
        read_json(tmp_path / "t.json", "w")


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "\x1b[31m", "\ud800", "\x7f"])
def test_letters_that_no_name_has(text: str) -> None:
    for data in (text, {"a": [text]}, {text: 1}):
        with pytest.raises(TextError, match="t: texts must be of one line without control characters"):
            check_letters(data, "t")
    check_letters({"a": ["Größe 5\u202f%", 1, None]}, "t")


def test_data_that_hold_themselves() -> None:
    endless: dict[str, object] = {}
    endless["name"] = endless["methods"] = endless
    with pytest.raises(SpecError, match="t: name must be a valid string"):
        parse_spec(endless, origin="t")
    with pytest.raises(TextError, match="t must hold at most 20,000 values"):
        check_letters(endless, "t")
