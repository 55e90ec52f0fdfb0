"""`amrbench schema`: a JSON Schema of recipes, protocols, or the results of runs.

Editors complete and check recipes and protocols with it. The parts of a slot depend on the installed plugins:
each slot is a definition that lists those of the registry.
"""

from __future__ import annotations

from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.evaluation.result import Result
from amrbench.part import Part, Strict
from amrbench.registry import Registry

_MODELS: dict[str, type[Strict]] = {"recipe": Recipe, "protocol": Protocol}
_SLOT = "x-slot"
"""Key of a placeholder for a part of a slot; `_linked` replaces it by a reference."""


def schema(kind: str, registry: Registry) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a "recipe", a "protocol" or a "result"."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"amrbench {kind}"}
    if kind == "result":
        return {**Result.model_json_schema(), **head}
    content = _MODELS[kind].model_json_schema(schema_generator=_WithPlaceholders)
    definitions: dict[str, Any] = content.setdefault("$defs", {})
    for slot in registry.slots():
        parts = [registry.entry(slot, name).part for name in registry.names(slot)]
        for part in parts:
            options = part.model_json_schema(schema_generator=_WithPlaceholders)
            definitions |= options.pop("$defs", {})
            options["properties"] = {"use": {"const": part.use}, **options.get("properties", {})}
            options["required"] = ["use", *options.get("required", [])]
            definitions[f"{slot}:{part.use}"] = options
        bare = {"enum": [part.use for part in parts], "description": "a part with its defaults"}
        with_options = [{"$ref": f"#/$defs/{slot}:{part.use}"} for part in parts]
        definitions[f"slot:{slot}"] = {"anyOf": [bare, *with_options]}
    return cast("dict[str, Any]", _linked({**content, **head}, set(registry.slots())))


def _linked(value: Any, slots: set[str]) -> Any:
    """Replace placeholders by references; a slot without parts accepts nothing."""
    if isinstance(value, list):
        return [_linked(item, slots) for item in value]
    if not isinstance(value, dict):
        return value
    if _SLOT in value:
        slot = value[_SLOT]
        return {"$ref": f"#/$defs/slot:{slot}"} if slot in slots else {"not": {}}
    return {key: _linked(item, slots) for key, item in value.items()}


class _WithPlaceholders(GenerateJsonSchema):
    """Writes a placeholder for a slot, which would be an object without properties."""

    @override
    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        part = schema["cls"]
        if issubclass(part, Part) and not part.use:
            return {_SLOT: part.slot}
        return super().model_schema(schema)
