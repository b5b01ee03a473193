"""JSON Schemas for editors: of the spec, as people write it, and of exported networks."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from nas.export_format import ExportedNetwork
from nas.method_spec import count_name
from nas.ray_spec import MOVED, RaySpec
from nas.spec import BudgetSpec, SearchSpec, Spec
from trials.fields import PATTERN

NUMBER = rf"^\s*(?:{PATTERN})\s*$"  # 0.58M, 300K or 1e6
BOUND = rf"^\s*(?:{PATTERN})x?\s*$"  # or a share of the base's cost: 1.5x
_RULES = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def spec_schema() -> dict[str, Any]:
    """Of a spec: each key with its description and default; numbers may be texts, as 0.58M is one to YAML."""
    schema: dict[str, Any] = _renamed(Spec.model_json_schema(schema_generator=_AsWritten))
    properties = schema["$defs"][BudgetSpec.__name__]["properties"]
    for name, field in BudgetSpec.model_fields.items():
        properties[name] = {**properties[name], "anyOf": [*_BOUNDS, {"type": "null"}]}
        for short in getattr(field.validation_alias, "choices", ()):
            properties[str(short)] = properties[name]
    search, ray = (schema["$defs"][part.__name__]["properties"] for part in (SearchSpec, RaySpec))
    for earlier, name in MOVED.items():
        search[earlier] = {**ray[name], "deprecated": True, "description": f"Now ray.{name}."}
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def export_schema() -> dict[str, Any]:
    """Of an exported network, as in nas/network.schema.json."""
    return ExportedNetwork.model_json_schema()


_BOUNDS = ({"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": BOUND})


class _AsWritten(GenerateJsonSchema):
    """What a validator turns into a value of the spec is taken as well: pydantic sees only the value."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        made = super().function_before_schema(schema)
        if made.get("type") in ("integer", "number") or made.get("anyOf") == [{"type": "integer"}, {"type": "number"}]:
            return {"anyOf": [made, {"type": "string", "pattern": NUMBER}]}
        if schema["function"]["function"] is count_name:
            return {**made, "enum": [*made["enum"], "activation"]}
        return made


def _renamed(data: Any) -> Any:
    """With bounds of numbers as JSON Schema calls them, beside an inner schema as well as in it."""
    if isinstance(data, list):
        return [_renamed(one) for one in data]
    if not isinstance(data, dict):
        return data
    return {
        _RULES.get(key, key) if not isinstance(value, dict) else key: _renamed(value) for key, value in data.items()
    }
