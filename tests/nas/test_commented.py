"""YAML with comments says the same as the data that it was made of."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.commented import WIDTH, quoted, write_commented
from nas.spec import Spec
from nas.spec_errors import _models
from nas.texts import parse_yaml
from tests.conftest import SMALL

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(TEXTS)
def test_any_text_is_read_back(text: str) -> None:
    assert parse_yaml(f"key: {quoted(text)}  # comment", "text") == {"key": text}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("mnist5k", "mnist5k"),
        ("torchvision:CIFAR10", "torchvision:CIFAR10"),
        ("sqlite:///nas.db", "sqlite:///nas.db"),
        ("0.5x", "0.5x"),
        ("0.58M", "0.58M"),
        ("my images", '"my images"'),
        ("no", '"no"'),
        ("1e6", '"1e6"'),
        ("0x10", '"0x10"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ('a"b\\', r'"a\"b\\"'),
        ("a\u2028b", r'"a\U00002028b"'),
        ("", '""'),
    ],
)
def test_what_is_quoted(text: str, written: str) -> None:
    assert quoted(text) == written
    assert parse_yaml(f"[{quoted(text)}]", "text") == [text]


def test_every_key_is_explained() -> None:
    data: dict[str, Any] = {**SMALL, "search": {"max_candidates": 2, "device": "cpu"}}
    written = write_commented(data, Spec, {"base": "A note.", "methods.0.compensation.tolerance": "Another."})
    assert parse_yaml(written, "text") == data
    lines = written.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "base:  # The network to beat. A note." in lines
    assert "    tolerance: 0.1  # How far below a kept cost may lie, as a share; 0: exact. Another." in lines
    assert "  device: cpu  # Where workers train and score. One of cpu, cuda." in lines
    keys = [i for i, line in enumerate(lines) if line.partition("#")[0].strip()]
    assert all("#" in lines[i] or lines[i - 1].strip().startswith("#") for i in keys), written


def test_methods_of_all_kinds() -> None:
    for model in _models(Spec.model_fields["methods"].annotation):
        (name,) = get_args(model.model_fields["name"].annotation)
        alone = {"methods": [{"name": name}]}
        assert parse_yaml(write_commented(alone, Spec, {}), "text") == alone
    data: dict[str, Any] = {"methods": [{"name": "uniform", "shares": [0.5, 1.0]}, {"name": "dilated"}]}
    assert parse_yaml(write_commented(data, Spec, {}), "text") == data
