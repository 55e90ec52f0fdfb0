"""Parts: the building blocks that a recipe names, with options that are checked before anything is built.

A *slot* is an abstract subclass of `Part` (it sets `slot`); a *part* is a subclass of a slot (it sets
`use`). To validate a mapping, a slot looks `use` up in the registry, which is passed as pydantic context, and
lets the chosen class validate the other keys:

    class FusionPart(Part):                  # the slot
        slot = "fusion"

    class Film(FusionPart):                  # one choice for it
        \"\"\"Scale and shift the audio by the text.\"\"\"
        use = "film"
        hidden: int = Field(128, ge=1, description="width of the hidden layer")

    class Model(Strict):
        fusion: FusionPart

    Model.model_validate({"fusion": {"use": "film", "hidden": 64}}, context=Registry.of(Film))

The same works for lists of parts and for parts inside parts, with no further code. A bare name means
the part with its defaults. All mistakes of a file are reported together.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeVar, cast

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

Items = TypeVar("Items", bound="Sequence[Part | str]")


def problem(text: str) -> PydanticCustomError:
    """Return an error that pydantic reports together with the others of a file."""
    return PydanticCustomError("amrbench", "{text}", {"text": text})


def budgeted(default: Any, name: str, **constraints: Any) -> Any:
    """Return a field that a protocol's budget may replace; `name` is its key in the budget."""
    return Field(default, json_schema_extra={"budget": name}, **constraints)


def location(description: str) -> Any:
    """Return an option for the path of files, empty by default; it changes no result."""
    return Field("", json_schema_extra={"location": True}, description=description)


def locates(field: FieldInfo) -> bool:
    """Whether a field was made by `location`."""
    return field.json_schema_extra == {"location": True}


class Chooser(Protocol):
    """The method of the registry that a slot calls."""

    def find(self, slot: str, use: object) -> type[Part]:
        """Return the part of this slot and name, or raise a `problem` that suggests a near name."""


class Strict(BaseModel):
    """A frozen model that refuses unknown fields and suggests the nearest known one."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, polymorphic_serialization=True
    )

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_near_fields(cls, value: Any, handler: Any) -> Self:
        try:
            return cast("Self", handler(value))
        except ValidationError as error:
            # Pydantic counts valid items only: a list may be "too short" because of items with other errors.
            details = [
                cls._reworded(item)
                for item in error.errors()
                if item["type"] != "too_short" or item["ctx"]["actual_length"] >= len(item["input"])
            ]
            raise ValidationError.from_exception_data(cls.__name__, details) from None

    @classmethod
    def _reworded(cls, details: ErrorDetails) -> InitErrorDetails:
        text, value = details["msg"], details["input"]
        if details["type"] == "extra_forbidden" and len(details["loc"]) == 1:
            field = str(details["loc"][0])
            known = ", ".join(sorted(cls.model_fields)) or "none"
            text = f"unknown field {field!r}.{did_you_mean(field, cls.model_fields) or f' Known: {known}.'}"
        elif details["type"] == "missing":
            text = "this field is missing."
        elif details["type"] != "amrbench":
            text = f"{text}." if isinstance(value, dict) else f"{text}, not {value!r}."
        return {"type": problem(text), "loc": details["loc"], "input": value}


class Part(Strict, ABC):
    """The options of one choice for a slot; `build` makes the object they describe."""

    slot: ClassVar[str] = ""
    use: ClassVar[str] = ""
    """The name in recipes; empty for the slot itself."""
    version: ClassVar[int] = 1
    """Raised when the part computes other numbers, so that older results are not reused."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Options for the contract checks; needed where an option has no default."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse parts that extend parts, and parts without a slot or docstring."""
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
        if not (cls.__doc__ or "").strip():
            raise TypeError(f"{cls.__name__} needs a docstring: it is what `amrbench parts` shows.")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse an option called `use`."""
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
        for item in value.values():
            yield from parts_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from parts_in(item)


def unique(items: Items) -> Items:
    """Return parts or names as they are, or raise a `problem` if one is listed twice."""
    refuse_repeated([item.use if isinstance(item, Part) else item for item in items])
    return items


def refuse_repeated(names: Sequence[str]) -> None:
    """Raise a `problem` if a name is listed twice."""
    for name in names:
        if names.count(name) > 1:
            raise problem(f"{name!r} is listed twice; keep one.")
