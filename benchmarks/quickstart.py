"""The search that benchmarks vary: examples/quickstart.yaml, with other values."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from nas.spec import Spec, parse_spec

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart.yaml"


def quickstart_values(**changes: Any) -> dict[str, Any]:
    """Its values; sections that are given are merged, others added."""
    values: dict[str, Any] = YAML(typ="safe").load(QUICKSTART)
    for key, change in changes.items():
        values[key] = {**values.get(key, {}), **change} if isinstance(change, dict) else change
    return values


def quickstart(**changes: Any) -> Spec:
    """The checked spec."""
    return parse_spec(quickstart_values(**changes), origin="quickstart")


def write_quickstart(folder: Path, **changes: Any) -> Path:
    """The spec as a file of a folder."""
    path = folder / "spec.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(quickstart_values(**changes), file)
    return path
