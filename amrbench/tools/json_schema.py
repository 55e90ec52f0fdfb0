"""A JSON Schema of recipes, so that editors can complete and check them.

A recipe's shape is fixed, but what may stand in a slot depends on the installed plugins: each slot is
a definition that lists the parts of the registry.
"""

from __future__ import annotations

from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.part import Part, Strict
from amrbench.registry import Registry

_MODELS: dict[str, type[Strict]] = {"recipe": Recipe, "protocol": Protocol}
_SLOT = "x-slot"
"""Marks a place where a part of some slot stands, until its definition is known."""


def schema(kind: str, registry: Registry) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a "recipe" or a "protocol"."""
    found = _MODELS[kind].model_json_schema(schema_generator=_BySlot)
    definitions: dict[str, Any] = found.setdefault("$defs", {})
    for slot in registry.slots():
        parts = [registry.entry(slot, name).part for name in registry.names(slot)]
        for part in parts:
            definitions.update(_part_definitions(part))
        definitions[f"slot:{slot}"] = _choice(parts)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"amrbench {kind}", **found}
    return cast("dict[str, Any]", _linked(whole, set(registry.slots())))


def _choice(parts: list[type[Part]]) -> dict[str, Any]:
    bare = {"enum": [part.use for part in parts], "description": "a part with its defaults"}
    return {"anyOf": [bare, *({"$ref": f"#/$defs/{_key(part)}"} for part in parts)]}


def _part_definitions(part: type[Part]) -> dict[str, Any]:
    found = part.model_json_schema(schema_generator=_BySlot)
    inside: dict[str, Any] = found.pop("$defs", {})
    properties = {"use": {"const": part.use}, **found.get("properties", {})}
    required = ["use", *found.get("required", [])]
    return {**inside, _key(part): {**found, "properties": properties, "required": required}}


def _key(part: type[Part]) -> str:
    return f"{part.slot}:{part.use}"


def _linked(value: Any, slots: set[str]) -> Any:
    """Replace the marks by references; a slot without any part can hold nothing."""
    if isinstance(value, list):
        return [_linked(each, slots) for each in value]
    if not isinstance(value, dict):
        return value
    if _SLOT in value:
        slot = value[_SLOT]
        return {"$ref": f"#/$defs/slot:{slot}"} if slot in slots else {"not": {}}
    return {key: _linked(each, slots) for key, each in value.items()}


class _BySlot(GenerateJsonSchema):
    """Write a mark for a slot instead of an empty object."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        part = schema["cls"]
        if issubclass(part, Part) and not part.use:
            return {_SLOT: part.slot}
        return super().model_schema(schema)
