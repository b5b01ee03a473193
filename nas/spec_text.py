"""A stored spec as a file that can be submitted again."""

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML


def write_spec_text(spec: Mapping[str, Any]) -> str:
    """YAML, in the order of the keys; what is not set is left out, as it is read as not set."""
    stream = StringIO()
    yaml: Any = YAML(typ="safe", pure=True)  # whose hints know no None here
    yaml.default_flow_style = None  # lists of numbers in one line
    yaml.sort_base_mapping_type_on_output = False
    yaml.dump(_without_none(spec), stream)
    return stream.getvalue()


def _without_none(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {key: _without_none(value) for key, value in part.items() if value is not None}
    return [_without_none(value) for value in part] if isinstance(part, list | tuple) else part
