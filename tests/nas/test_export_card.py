"""The model card: only what the file states, under the headings of Hugging Face's cards."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import nas
from nas.export import export_winner
from nas.export_card import card_of
from nas.export_format import ExportedNetwork
from tests.nas.exports import KINDS
from trials.store import Store


def info_of(exports: dict[str, Path], kind: str) -> ExportedNetwork:
    return nas.load(exports[kind] / "winner.json").info


def front_matter(card: str) -> dict[str, Any]:
    _, yaml, _ = card.split("---\n", 2)
    found: dict[str, Any] = YAML(typ="safe").load(yaml)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_it_states_what_the_file_does(exports: dict[str, Path], kind: str) -> None:
    info = info_of(exports, kind)
    card = card_of(info)
    assert card == card_of(info)
    result = front_matter(card)["model-index"][0]["results"][0]
    assert result["metrics"] == [{"type": "accuracy", "value": info.weights.test_accuracy}]
    assert result["dataset"] == {"name": "mnist5k", "type": "mnist5k", "split": "test"}
    for text in (
        f"| params | {info.costs.params:,} |",
        f"| test | this network | {info.test_accuracy.mean:.4f} | one seed | 1 | 1,000 |",
        f"| test | base | {info.base.test_accuracy.mean:.4f} | one seed | 1 | 1,000 |",
        info.data.fingerprint,
        "from fresh weights",
        "| learning_rate | `0.1` |",
        "Nothing was measured on images unlike those",
        f"| `torch` | `{info.versions['torch']}` |",
    ):
        assert text in card
    if info.dynamic is not None:
        for one in info.dynamic.exits:
            assert f"| {one.macs:,} |" in card
            assert f"| {one.reached['validation'] / 1000:.1%} |" in card
    assert ("was not calibrated" in card) == (kind == "static")
    assert "as the search trained it" in card


def test_spread_and_seeds_of_a_search(finished_search: Path) -> None:
    with Store(f"sqlite:///{finished_search}/nas.db") as store:
        info, _ = export_winner(store, "small", "winner.safetensors")
    card = card_of(info)
    assert info.test_accuracy.std is not None
    accuracy = info.test_accuracy
    assert f"| test | this network | {accuracy.mean:.4f} | {accuracy.std:.4f} | 2 | 1,000 |" in card
    assert "judged with 2 seeds" in card
    assert "trained in full" not in card
    for name, bound in info.budget.items():
        assert f"{name} at most {bound:,}" in card


@pytest.mark.parametrize(
    "text", ['"\n- evil: 1\n---\n', "a|b|c", "`<script>alert(1)</script>`", "---\n", "\x1b[31m", "# big"]
)
def test_texts_of_the_file_are_no_markup(exports: dict[str, Path], text: str) -> None:
    info = info_of(exports, "static")
    hostile = info.model_copy(
        update={
            "search": text,
            "method": text,
            "network_id": text,
            "created_at": text,
            "data": info.data.model_copy(update={"source": text, "sizes": {"train": 1, text: 2, "test": 3}}),
            "versions": {"torch": text, text: text, "python": "3"},
            "mac_rule": text,
        }
    )
    card = card_of(hostile)
    assert front_matter(card)["model-index"][0]["name"] == text
    body = card[card.index("\n---\n", 4) :]
    assert all(one.isprintable() for one in body.replace("\n", ""))
    plain = card_of(info)
    assert card.count("\n") == plain.count("\n"), "no text makes a line of its own"
    for line in body.splitlines():
        outside = "".join(line.split("`")[::2])
        assert "<script>" not in outside
