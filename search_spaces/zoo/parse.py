"""Networks by text: a name, or a name and settings, as in "mobilenet_v1:alpha=0.5,stem=32"."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any, Literal, get_args, get_origin, get_type_hints

from search_spaces.architecture import Architecture
from search_spaces.errors import NetworkError

IMAGES = ("resolution", "classes", "channels")  # what every network takes; said beside the text, not in it
_INTEGER, _WIDTHS = re.compile(r"-?\d{1,18}"), re.compile(r"\d{1,18}(-\d{1,18})*")


def parse_network(
    text: str, networks: Mapping[str, Callable[..., Architecture]]
) -> tuple[Callable[..., Architecture], dict[str, Any]]:
    """The function that makes the network, and its settings; raises NetworkError for what it does not know."""
    name, _, rest = (part.strip() for part in text.partition(":"))
    if name not in networks:
        raise NetworkError(f"network must be one of {', '.join(networks)}, but got {name!r}{_hint(name, networks)}")
    settings: dict[str, Any] = {}
    types = setting_types(networks[name])
    for entry in rest.split(",") if rest else ():
        key, equals, value = (part.strip() for part in entry.partition("="))
        if not equals or key not in types or key in settings:
            raise NetworkError(
                f"{name}: settings must be key=value with each of {', '.join(types)} at most once, "
                f"but got {entry.strip()!r}{_hint(key, types)}"
            )
        settings[key] = _parse_value(f"{name} (settings: {', '.join(types)})", key, value, types[key])
    return networks[name], settings


def setting_types(function: Callable[..., Architecture]) -> dict[str, Any]:
    """Types of a network's own settings, by name."""
    types = get_type_hints(function)
    return {name: types[name] for name in signature(function).parameters if name not in IMAGES}


def _hint(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, n=1) if name not in known else []
    return f"; did you mean {close[0]!r}?" if close else ""


def _parse_value(place: str, key: str, text: str, kind: Any) -> Any:
    """The value of a setting of this type."""
    choices = {"true": True, "false": False} if kind is bool else {}
    if get_origin(kind) is Literal:
        choices = {str(choice): choice for choice in get_args(kind)}
    value: Any
    if choices:
        rule, value = f"one of {', '.join(choices)}", choices.get(text)
    elif kind is int:
        rule, value = "an integer", int(text) if _INTEGER.fullmatch(text) else None
    elif kind is float:
        rule, value = "a number", _parse_float(text)
    else:
        assert kind == tuple[int, ...], f"{place}: no text is read as {kind}"
        value = tuple(map(int, text.split("-"))) if _WIDTHS.fullmatch(text) else None
        rule = "integers joined by dashes, as in 64-128-256"
    if value is None:
        raise NetworkError(f"{place}: {key} must be {rule}, but got {key}={text!r}")
    return value


def _parse_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
