"""Names that must not leave their folder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.file_names import is_file_name
from nas.spec import parse_spec
from nas.spec_errors import SpecError
from tests.conftest import SMALL

HOSTILE = [
    "", ".", "..", "../x", "a/../b", "/etc/passwd", "a\\b", "C:x", "a\0b", "a\nb", "\x1b[31m", "n" * 300, "é" * 128,
    ".hidden", "-rf", "~root", " x", "x ", "x.", "nul", "NUL.json", "com1", "LPT9.txt", "aux.a.b", "COM¹",
    "a\u2044b/", "a\uff0fb", "a\uff3cb", "\u2025/x", "a\u202egnp.json", "a\u200bb", "\ud800", "a*b", "a|b",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names(name: str) -> None:
    assert not is_file_name(name)
    with pytest.raises(SpecError, match="small: name ") as caught:
        parse_spec({**SMALL, "name": name}, origin="small")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["winner.json", "Größe 5.json", "a-b_c.tar.gz", "console", "nullable", "con-1", "日本.json"]
)
def test_plain_names(name: str) -> None:
    assert is_file_name(name)


@given(st.text(st.sampled_from("ab./\\:\0 ~-\u2044\uff0f\u202e\ud800nulNUL"), max_size=12))
def test_no_name_leaves_its_folder(name: str) -> None:
    if is_file_name(name):
        assert name not in (".", "..")
        assert not set(name) & set("/\\\0:")
        name.encode()
