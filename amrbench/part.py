"""Parts: what a recipe may name, with options that are checked before anything is built.

A *slot* is an abstract subclass of `Part` (it sets `slot`); a *part* is a subclass of a slot (it sets
`use`). Asked to validate a mapping, a slot looks `use` up in the registry, which travels as pydantic
context, and lets the chosen class validate the rest:

    class FusionPart(Part):                  # the slot
        slot = "fusion"

    class Film(FusionPart):                  # one choice for it
        \"\"\"Scale and shift the audio by the text.\"\"\"
        use = "film"
        hidden: int = Field(128, ge=1, description="width of the hidden layer")

    class Model(Strict):
        fusion: FusionPart

    Model.model_validate({"fusion": {"use": "film", "hidden": 64}}, context=Registry.of(Film))

The same works for lists of parts and for parts inside parts, with no further code. A bare name stands
for the part with its defaults. Mistakes are collected, so that a user sees all of them at once.
"""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from amrbench.errors import did_you_mean


def problem(text: str) -> PydanticCustomError:
    """Return an error that pydantic collects together with the others of a file."""
    return PydanticCustomError("amrbench", "{text}", {"text": text})


def budgeted(default: Any, name: str, **constraints: Any) -> Any:
    """Return a field that a protocol's budget may replace; `name` is the budget's word for it."""
    return Field(default, json_schema_extra={"budget": name}, **constraints)


def location(description: str) -> Any:
    """Return an option, empty by default, that says where files lie; it changes no number."""
    return Field("", json_schema_extra={"location": True}, description=description)


def locates(field: FieldInfo) -> bool:
    """Whether a field was made by `location`."""
    return field.json_schema_extra == {"location": True}


class Chooser(Protocol):
    """What a part needs of the registry."""

    def find(self, slot: str, use: object) -> type[Part]:
        """Return the part of this slot and name, or raise a `problem` with near names."""


class Strict(BaseModel):
    """Frozen; unknown fields are errors that suggest the near one."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, polymorphic_serialization=True
    )

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_near_fields(cls, value: Any, handler: Any) -> Self:
        try:
            return cast("Self", handler(value))
        except ValidationError as error:
            lines = [cls._line(each) for each in error.errors() if not _follows_from_others(each)]
            raise ValidationError.from_exception_data(cls.__name__, lines) from None

    @classmethod
    def _line(cls, each: ErrorDetails) -> InitErrorDetails:
        text = each["msg"]
        if each["type"] == "extra_forbidden" and len(each["loc"]) == 1:
            field = each["loc"][0]
            near = did_you_mean(str(field), cls.model_fields)
            text = f"unknown field {str(field)!r}.{near or f' Known: {_listed(cls.model_fields)}.'}"
        elif each["type"] == "missing":
            text = "this field is missing."
        elif each["type"] != "amrbench":
            text = f"{text}, not {each['input']!r}." if not isinstance(each["input"], dict) else f"{text}."
        return {"type": problem(text), "loc": each["loc"], "input": each["input"]}


class Part(Strict, ABC):
    """Options for one slot, and how to build what they describe."""

    slot: ClassVar[str] = ""
    use: ClassVar[str] = ""
    """The name in recipes; empty for the slot itself."""
    version: ClassVar[int] = 1
    """Raised when the part's numbers change, so that older results are not taken for its own."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Options to try the part with in tests; needed where some have no default."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse parts that extend parts, and parts that say too little about themselves."""
        super().__init_subclass__(**kwargs)
        parent = next((base for base in cls.__mro__[1:] if base.__dict__.get("use")), None)
        if parent is not None:
            raise TypeError(
                f"{cls.__name__} extends the finished part {parent.__name__}; let it hold one instead."
            )
        if not cls.__dict__.get("use"):
            return
        if not cls.slot:
            raise TypeError(f"{cls.__name__} names itself {cls.use!r} but belongs to no slot.")
        if not inspect.getdoc(cls) or cls.__doc__ is None:
            raise TypeError(f"{cls.__name__} needs a docstring: it is what `amrbench parts` shows.")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Keep the word that recipes use to choose."""
        super().__pydantic_init_subclass__(**kwargs)
        if "use" in cls.model_fields:
            raise TypeError(
                f"{cls.__name__} has an option called 'use', which recipes need to name the part."
            )

    @model_validator(mode="wrap")
    @classmethod
    def _choose(cls, value: Any, handler: Any, info: ValidationInfo) -> Self:
        if cls.use or isinstance(value, cls):
            return cast("Self", handler(value))
        if isinstance(value, Part):
            raise problem(f"{value.use!r} is a {value.slot} part, not a {cls.slot} part.")
        value = {"use": value} if isinstance(value, str) else value
        if not isinstance(value, dict) or "use" not in value:
            raise problem(f"name a {cls.slot} part: '{{use: NAME, ...}}', or the bare name.")
        if info.context is None:
            raise problem(f"a {cls.slot} part is chosen from a registry; pass one as context.")
        chosen = cast("Chooser", info.context).find(cls.slot, value["use"])
        options = {key: option for key, option in value.items() if key != "use"}
        return cast("Self", chosen.model_validate(options, context=info.context))

    @model_serializer(mode="wrap")
    def _with_name(self, handler: Any) -> dict[str, Any]:
        return {"use": self.use, **handler(self)}


def parts_in(value: object) -> Iterator[Part]:
    """Yield every part at any depth."""
    if isinstance(value, Part):
        yield value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from parts_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from parts_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from parts_in(each)


def _follows_from_others(each: ErrorDetails) -> bool:
    """Say whether a list is called too short only because of items that are wrong and told by themselves."""
    short = each["type"] == "too_short"
    return short and bool(each["ctx"]["actual_length"] < len(each["input"]))


def unique(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts, or raise a `problem` when one name stands twice in the list."""
    names = [part.use for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise problem(f"{name!r} stands twice in this list; keep one.")
    return parts


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
