"""What pydantic found wrong, as one line: the key, the rule and the value."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from search_spaces import NasError


class SpecError(NasError):
    """A spec that breaks a rule."""


class NothingFound(SpecError):
    """A method that finds no network; others of the spec may."""


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first of the errors; the others are counted."""
    details = error.errors(include_url=False)
    first = details[0]
    place = tuple(first["loc"])
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    name = _shown(place)
    if first["type"] == "union_tag_not_found":
        return f"key '{name}.name' is required, but missing{more}"
    if first["type"] == "union_tag_invalid":
        return f"{name}.name must be one of {first['ctx']['expected_tags']}, but got {first['ctx']['tag']!r}{more}"
    if first["type"] == "extra_forbidden":
        section = _shown(place[:-1])
        where = f"in {section}" if section else "at the top"
        known = ", ".join(section_at(model, place[:-1]).model_fields)
        return f"unknown key {place[-1]!r} {where}; known keys: {known}{more}"
    if first["type"] == "missing":
        return f"key {name!r} is required, but missing{more}"
    rule = first["msg"].removeprefix("Value error, ")
    rule = rule.replace("Input should be", "must be").replace("a valid tuple", "a list")
    if "valid dictionary" in rule:
        rule = "must hold keys, such as {name: value}"
    rule = rule[:1].lower() + rule[1:]
    if not place:
        return f"{rule}{more}"
    if not rule.startswith("must"):
        rule = f"is wrong: {rule}"
    plain = not isinstance(first["input"], dict | list) or _is_numbers(first["input"])
    value = f", but got {_short(first['input'])}" if plain or "number" in rule else ""
    return f"{name} {rule}{value}{more}"


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, int | float) for item in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _shown(place: tuple[int | str, ...]) -> str:
    """A place as people name it: what stands behind a number in a list is its own name, as the list says it already."""
    return ".".join(str(part) for i, part in enumerate(place) if not _is_tag(place, i))


def _is_tag(place: tuple[int | str, ...], i: int) -> bool:
    return i > 1 and isinstance(place[i - 1], int) and place[i - 2] == "methods"


def section_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that stands at a place of the spec, as pydantic names it: behind a method's number stands its name."""
    found = [model]
    for i, part in enumerate(place):
        if _is_tag(place, i):
            found = [one for one in found if part in get_args(one.model_fields["name"].annotation)]
        elif isinstance(part, str) and part in found[0].model_fields:
            found = list(_models(found[0].model_fields[part].annotation))
    return found[0]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
