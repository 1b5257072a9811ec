"""The JSON Schema (draft 2020-12) of the file, for editors that complete and check YAML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from shunt.config import scalars
from shunt.config.schema import FileKeys

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document() -> JsonSchemaValue:
    """Return the schema as data."""
    schema: JsonSchemaValue = _tidy_keys(FileKeys.model_json_schema())
    for section in ("clusters", "servers"):
        schema["properties"][section]["propertyNames"] = {"pattern": f"^{scalars.NAME}$"}
    one = [{"required": [key]} for key in ("interface", "interfaces")]
    schema["$defs"]["DispatcherKeys"]["oneOf"] = one
    several = {"required": ["advisor"], "properties": {"advisor": {"type": "array", "minItems": 2}}}
    schema["$defs"]["PortKeys"]["dependentSchemas"] = {"advisors_required": several}
    schema["patternProperties"] = {"^x-": {"description": "Ignored: a place for YAML anchors."}}
    return {"$schema": DIALECT, "title": "Shunt's configuration"} | schema


def text() -> str:
    """Return the schema as it is published."""
    return json.dumps(document(), indent=2) + "\n"


def _tidy(value: object) -> object:
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return _tidy_keys(value) if isinstance(value, dict) else value


def _tidy_keys(value: JsonSchemaValue) -> JsonSchemaValue:
    """Take away what pydantic adds and no editor should show: titles, nulls, empty defaults."""
    made = {
        key: _tidy(item)
        for key, item in value.items()
        if not (key == "title" and isinstance(item, str))
        and not (key == "default" and item in (None, []))
    }
    branches = made.get("anyOf")
    if isinstance(branches, list) and "default" in value and value["default"] is None:
        written = [branch for branch in branches if branch != {"type": "null"}]
        if len(written) == 1:
            del made["anyOf"]
            made = written[0] | made
    return made
