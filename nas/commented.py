"""A spec as YAML for people who will change it: what a key means stands beside it, in the words of its description."""

import re
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from nas.spec_errors import section_at

WIDTH = 110  # letters, up to which a comment stands behind its key
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*(?::[A-Za-z0-9_./-]+)*|[0-9]+(\.[0-9]+)?[xKMG]")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def write_commented(data: Mapping[str, Any], model: type[BaseModel], notes: Mapping[str, str]) -> str:
    """YAML of plain data that `model` takes, in the order of the keys; `notes` are more comments by dotted names."""
    return "\n".join(_lines(data, model, notes, (), "")) + "\n"


def _lines(
    data: Mapping[str, Any], model: type[BaseModel], notes: Mapping[str, str], place: tuple[str | int, ...], indent: str
) -> Iterator[str]:
    for key, value in data.items():
        here = (*place, key)
        comment = _comment(section_at(model, place), key, notes.get(".".join(map(str, here)), ""))
        if not place:
            yield ""
        if isinstance(value, Mapping):
            yield from _behind(f"{indent}{key}:", comment, indent)
            yield from _lines(value, model, notes, here, f"{indent}  ")
        elif value and isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
            yield from _behind(f"{indent}{key}:", comment, indent)
            for number, one in enumerate(value):
                inner = list(_lines(one, model, notes, (*here, number, str(one["name"])), f"{indent}    "))
                first = next(i for i, line in enumerate(inner) if line.strip() and not line.strip().startswith("#"))
                inner[first] = f"{indent}  - {inner[first].strip()}"  # its comments stand above
                yield from inner
        else:
            yield from _behind(f"{indent}{key}: {_flow(value)}", comment, indent)


def _comment(section: type[BaseModel], key: str, note: str) -> str:
    """The description of a key, its choices where it does not name them, and the note."""
    field = section.model_fields[key]
    said = field.description or ""
    choices = [str(choice) for choice in get_args(field.annotation)] if get_origin(field.annotation) is Literal else []
    if len(choices) > 1 and not all(choice in said for choice in choices):
        said = f"{said} One of {', '.join(choices)}."
    return f"{said} {note}".strip()


def _behind(line: str, comment: str, indent: str) -> Iterator[str]:
    """The comment at the end of the line, or above it where it is long."""
    if len(line) + len(comment) + 4 <= WIDTH:
        yield f"{line}  # {comment}"
        return
    for part in wrap(comment, WIDTH - len(indent) - 2, break_long_words=False, break_on_hyphens=False):
        yield f"{indent}# {part}"
    yield line


def _flow(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """A text as YAML: as it is where that is read as this text, otherwise in quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return f'"{"".join(map(_letter, text))}"'


def _letter(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"
