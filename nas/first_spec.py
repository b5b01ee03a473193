"""A first spec from a few answers: a text with comments that was read back and planned."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.ask import Ask
from nas.commented import write_commented
from nas.first_methods import PHRASES
from nas.first_questions import (
    ORIGIN,
    UNTOLD,
    WORDS,
    ask_base,
    ask_data,
    ask_search,
    ask_training,
    describe,
    make_checked,
    parse,
)
from nas.networks import TORCHVISION
from nas.planning import Plan
from nas.problem import Problem, make_problem
from nas.spec import DEFAULT_STORAGE, STORAGE_VARIABLE, Spec, parse_spec
from nas.spec_errors import SpecError
from nas.texts import parse_yaml
from trials.cores import usable_cores
from trials.torchvision_source import TORCHVISION as DATASET


@dataclass(frozen=True, kw_only=True)
class FirstSpec:
    """A spec as text, and what it plans."""

    text: str
    plan: Plan


def make_first_spec(ask: Ask, *, width: str | None = None, schema: str = "", allow_code: bool = False) -> FirstSpec:
    """Ask for what a spec needs and write it; `width` multiplies the base's, `schema` is where editors find the keys.

    The text was read back and planned. Raises NasError for answers of which no search can be made.
    """
    data, facts = ask.again(lambda: ask_data(ask))
    base = ask.again(lambda: ask_base(ask, data, facts, {"width": width} if width else {}, allow_code=allow_code))
    problem = make_problem(parse({**UNTOLD, "data": data, "base": base}), allow_code=allow_code)
    own = problem.base.cost.bounded()
    ask.tell("  it costs " + ", ".join(f"{count:,} {WORDS[name]}" for name, count in own.items()))
    chosen = {"data": data, "base": base}
    search = ask.again(lambda: ask_search(ask, problem, chosen, allow_code=allow_code))
    train = ask.again(lambda: ask_training(ask, chosen))
    name = ask("name", "name of the search", _read_name, _slug(f"{_stem(data['source'])}-{_stem(_text(base))}"))
    spec = {"name": name, **chosen, **search, "train": train, **_where_it_runs()}
    text = _header(schema) + write_commented(spec, Spec, _notes(problem))
    written = parse_spec(parse_yaml(text, ORIGIN), origin=ORIGIN)
    if written != parse(spec):
        raise SpecError(f"{ORIGIN} must be texts that YAML keeps, but are not; use plain letters in names")
    return FirstSpec(text=text, plan=make_checked(written, allow_code=allow_code))


def _read_name(text: str) -> str:
    parse({**UNTOLD, "name": text, "data": {"source": "mnist5k"}, "base": {"network": "resnet18", "resolution": 28}})
    return text


def _where_it_runs() -> dict[str, Any]:
    storage = {} if STORAGE_VARIABLE in os.environ else {"storage": DEFAULT_STORAGE}
    runs = {"search": {"max_candidates": 12, "device": "cpu"}, "ray": {"max_concurrent": min(1024, usable_cores())}}
    return {"objectives": ["accuracy", "macs"], **runs, **storage}


def _header(schema: str) -> str:
    first = f"# yaml-language-server: $schema={schema}\n" if schema else ""
    return f"{first}# A search, written by nas init. docs/spec.md explains all keys; nas plan shows its networks.\n"


def _notes(problem: Problem) -> dict[str, str]:
    """What was found, where it belongs."""
    own = problem.base.cost.bounded()
    budget = "Numbers, as 0.58M or 300K, or shares of the base's cost, as 0.5x."
    costs = {f"budget.{key}": f"The base has {count:,}." for key, count in own.items()}
    phrases = {f"methods.{i}.compensation.name": f"Borji's: {PHRASES['compensation']}." for i in range(len(PHRASES))}
    return {"data": f"Found: {describe(problem.spec.data, problem.source)}.", "budget": budget, **costs, **phrases}


def _text(base: Mapping[str, Any]) -> str:
    return str(base.get("network") or base["module"])


def _stem(text: str) -> str:
    """What a source or network is called, without folders, endings, settings and what stands before a colon."""
    last = text.rstrip("/").rpartition("/")[2]
    last = re.sub(r"(\.tar)?\.(json|npz|gz|tgz|bz2|xz|tar)$", "", last)
    before, _, after = last.partition(":")
    return after if text.startswith((DATASET, TORCHVISION)) else before


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:60].rstrip("-._").lower() or "first"
