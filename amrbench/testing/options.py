"""Checks for parts of all slots: docstring, version and options."""

from __future__ import annotations

import inspect
import json
from typing import Any, get_args

from pydantic import ValidationError

from amrbench.errors import dotted
from amrbench.part import Part, slot_of
from amrbench.registry import Registry
from amrbench.testing.small_data import expect


def check_options(part: Part, registry: Registry) -> None:
    """Check docstring, version, descriptions and defaults, and that options survive a round trip to JSON."""
    who = f"{part.slot} {part.use!r}"
    first = (inspect.getdoc(type(part)) or "").split("\n\n")[0]
    expect(first.endswith("."), f"{who}: the first line of its docstring is not a sentence: {first!r}.")
    expect(type(part).version >= 1, f"{who}: its version is {type(part).version}; versions start at 1.")
    for name, field in type(part).model_fields.items():
        described = bool(field.description) or _is_part(field.annotation)
        expect(described, f"{who}: the option {name!r} has no description; give Field(description=...).")
    try:
        type(part).model_validate({}, context=registry)
    except ValidationError as error:
        for mistake in error.errors():
            missing = "missing" in mistake["msg"]
            expect(missing, f"{who}: its defaults are wrong: {dotted(mistake['loc'])}: {mistake['msg']}")
    written = json.loads(json.dumps(part.model_dump(mode="json")))
    again = slot_of(type(part)).model_validate(written, context=registry)
    expect(again == part, f"{who}: written as JSON and read again it is {again!r}, not {part!r}.")
    try:
        slot_of(type(part)).model_validate({**written, "no such option": 1}, context=registry)
    except ValidationError:
        return
    raise AssertionError(f"{who}: it accepts unknown options.")


def _is_part(annotation: Any) -> bool:
    if inspect.isclass(annotation):
        return issubclass(annotation, Part)
    return any(_is_part(argument) for argument in get_args(annotation))
