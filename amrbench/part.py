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

import re
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import wraps
from typing import Any, ClassVar, Protocol, Self, TypeVar, cast, get_args

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
from amrbench.interfaces import (
    InterfaceError,
    ResultError,
    brief,
    interface_fault,
    remember_part,
    with_article,
)

_SHORT = 60  # characters of a value in a message
Items = TypeVar("Items", bound="Sequence[Part | str]")


def problem(text: str) -> PydanticCustomError:
    """Return an error that pydantic reports together with the others of a file."""
    return PydanticCustomError("amrbench", "{text}", {"text": text})


def problem_at(path: tuple[int | str, ...], text: str) -> ValidationError:
    """Return an error like `problem`, for a value below the one that is checked."""
    return ValidationError.from_exception_data(
        "amrbench", [{"type": problem(text), "loc": path, "input": None}]
    )


def budgeted(default: Any, name: str, **constraints: Any) -> Any:
    """Return a field that a protocol's budget may replace; `name` is its key in the budget."""
    return Field(default, json_schema_extra={"budget": name}, **constraints)


def location(description: str, default: Any = "", **constraints: Any) -> Any:
    """Return an option for the path of files, or for several paths; the path itself changes no result.

    A relative path starts from the folder of the recipe, study or protocol.
    """
    return Field(default, json_schema_extra={"location": True}, description=description, **constraints)


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
    def _first_key(cls, path: tuple[int | str, ...]) -> str:
        """Return a key of this model, or of the mapping at a path in it, as an example."""
        keys: Iterable[object] = cls.model_fields
        if path:
            field = cls.model_fields.get(str(path[0]))
            of_keys = get_args(field.annotation)[:1] if field else ()
            keys = get_args(of_keys[0]) if of_keys else ()
        return next((key for key in keys if isinstance(key, str)), "NAME")

    @classmethod
    def _reworded(cls, details: ErrorDetails) -> InitErrorDetails:
        text, value = details["msg"], details["input"]
        if details["type"] == "extra_forbidden" and len(details["loc"]) == 1:
            field = str(details["loc"][0])
            known = ", ".join(sorted(cls.model_fields)) or "none"
            near = did_you_mean(field, cls.model_fields) or f" Known: {known}."
            if value is None and field.isdigit():  # {weight: 0,5} has the keys "weight" and "5".
                near = " Decimals have a point, as in 0.5."
            text = _blank_after_colon(field, cls.model_fields) or f"unknown field {field!r}.{near}"
        elif details["type"] == "missing":
            text = "this field is missing."
        elif details["type"] in ("list_type", "tuple_type"):
            text = _list_expected(value)
        elif details["type"] in ("dict_type", "mapping_type", "model_type"):
            text = (
                f"this must be a mapping, such as {{{cls._first_key(details['loc'])}: VALUE}}, not {value!r}."
            )
        elif details["type"] != "amrbench":
            text = f"{text}." if isinstance(value, dict) else f"{text}, not {value!r}."
            text += _without_comma(details["type"], value)
        # Pydantic adds "[key]" for the key of a mapping, which is the last step already.
        loc = details["loc"][:-1] if details["loc"][-1:] == ("[key]",) else details["loc"]
        return {"type": problem(text), "loc": loc, "input": value}


def _blank_after_colon(value: object, known: Iterable[str]) -> str:
    """Return what to write in place of "use:NAME", or of a mapping with such a key; else an empty string."""
    for text in value if isinstance(value, dict) else [value]:
        key, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
        if colon and key in known:
            return f"write a blank after the colon: '{key}: {rest.strip() or 'VALUE'}', not {text!r}."
    return ""


def _without_comma(kind: str, value: object) -> str:
    """Return how to write a number that has a comma; empty for any other value."""
    if kind not in ("float_parsing", "int_parsing") or not re.fullmatch(r"[-+]?\d+,\d+", str(value)):
        return ""
    if kind == "int_parsing":
        return " Write the number without a comma."
    return f" Decimals have a point: {str(value).replace(',', '.')}."


def _instead(value: object) -> str:
    """Return ", not 7" for a short value, for a message."""
    shown = repr(value)
    return f", not {shown}" if len(shown) <= _SHORT else ""


def _list_expected(value: object) -> str:
    """Return what to write in place of a value that is not a list."""
    if value is None:
        return "this must be a list; write [] for an empty one."
    if isinstance(value, dict):
        return "this must be a list; begin each of its items with '- '."
    return f"this must be a list, such as [{value}], not {value!r}."


class Part(Strict, ABC):
    """The options of one choice for a slot; `build` makes the object they describe."""

    slot: ClassVar[str] = ""
    use: ClassVar[str] = ""
    """The name in recipes; empty for the slot itself."""
    version: ClassVar[int] = 1
    """Raised when the part computes other numbers, so that older results are not reused."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Options for the contract checks; needed where an option has no default."""
    builds: ClassVar[type | None] = None
    """What `build` of this slot returns: a protocol, or a class with the same public names; None for any."""
    builds_module: ClassVar[bool] = False
    """Whether it is also an `nn.Module`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse parts that extend parts, parts without slot or docstring, and names that are no word."""
        super().__init_subclass__(**kwargs)
        parent = next((base for base in cls.__mro__[1:] if base.__dict__.get("use")), None)
        if parent is not None:
            raise TypeError(
                f"{cls.__name__} extends the finished part {parent.__name__}; let it hold one instead."
            )
        if "use" not in cls.__dict__:
            return
        _refuse_wrong_name(cls.__name__, cls.__dict__["use"])
        if not cls.slot:
            raise TypeError(f"{cls.__name__} names itself {cls.use!r} but belongs to no slot.")
        if not (cls.__doc__ or "").strip():
            raise TypeError(f"{cls.__name__} needs a docstring: it is what `amrbench parts` shows.")
        _refuse_wrong_declarations(cls)
        build = getattr(cls, "build", None)
        if build and not getattr(build, "__isabstractmethod__", False):
            cls.build = _checked(build)  # type: ignore[attr-defined]
        if required_files := cls.__dict__.get("required_files"):
            cls.required_files = _listing(required_files)  # type: ignore[attr-defined]

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
            raise problem(
                f"{value.use!r} is {with_article(value.slot)} part, not {with_article(cls.slot)} part."
            )
        if blank := _blank_after_colon(value, ("use",)):
            raise problem(blank)
        value = {"use": value} if isinstance(value, str) else value
        if not isinstance(value, dict) or "use" not in value:
            form = f"'{{use: NAME, ...}}', or the bare name{_instead(value)}"
            raise problem(f"name {with_article(cls.slot)} part: {form}.")
        if info.context is None:
            raise problem(f"{with_article(cls.slot)} part is chosen from a registry; pass one as context.")
        chosen = cast("Chooser", info.context).find(cls.slot, value["use"])
        options = {key: option for key, option in value.items() if key != "use"}
        part = chosen.model_validate(options, context=info.context)
        if not isinstance(part, chosen):
            text = f"a validator returns {part!r}, not the part. End it with `return self`."
            raise ResultError(text, chosen, "build")
        return cast("Self", part)

    def changed_options(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, as plain values."""
        fields, values = type(self).model_fields, self.model_dump(mode="json")
        return {
            name: values[name]
            for name, field in fields.items()
            if getattr(self, name) != field.get_default(call_default_factory=True)
        }

    @model_serializer(mode="wrap")
    def _with_name(self, handler: Any) -> dict[str, Any]:
        return {"use": self.use, **handler(self)}


def slot_of(part: type[Part]) -> type[Part]:
    """Return the abstract class of a part's slot."""
    return next(base for base in part.__mro__ if base.__dict__.get("slot"))


def _refuse_wrong_name(owner: str, use: object) -> None:
    """Raise TypeError unless the name of a part is one word."""
    if not isinstance(use, str) or not re.fullmatch(r"\w[\w+-]*", use):
        words = re.findall(r"[\w+-]+", use) if isinstance(use, str) else []
        nearest = "-".join(words).strip("-+") or "my-part"
        raise TypeError(
            f"{owner} has use = {use!r}. The name of a part is one word of letters, digits, '-', '_' and '+' "
            f"without blanks, such as {nearest!r}."
        )


def _refuse_wrong_declarations(cls: type[Part]) -> None:
    """Raise TypeError where a part sets what its slot declares, such as `requires`, to another type."""
    for base in cls.__mro__[1:]:
        for name, value in vars(base).items():
            kind = next((kind for kind in (bool, int, Set, Mapping) if isinstance(value, kind)), None)
            own = cls.__dict__.get(name)
            fits = kind is None or own is None or isinstance(own, (kind, property))
            if name[0] != "_" and not name.startswith("model_") and not fits:
                raise TypeError(
                    f"{cls.__name__} has {name} = {own!r}, where its slot asks for {type(value).__name__}, "
                    f"such as {value!r}."
                )


def _checked(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `build` that raises InterfaceError if its result is not what the slot asks for."""

    @wraps(build)
    def checked(self: Part, *arguments: Any, **named: Any) -> Any:
        built = build(self, *arguments, **named)
        if fault := interface_fault(built, self.builds, module=self.builds_module):
            raise InterfaceError(fault)
        remember_part(built, self)
        return built

    return checked


def _listing(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of a part that raises ResultError if its result is no list or tuple."""

    @wraps(method)
    def listing(self: Part, *arguments: Any, **named: Any) -> Any:
        result = method(self, *arguments, **named)
        if not isinstance(result, (list, tuple)):
            text = f"{method.__name__} returns {brief(result)}, not a list."
            raise ResultError(text, type(self), method.__name__)
        return result

    return listing


def parts_in(value: object) -> Iterator[Part]:
    """Yield every part at any depth."""
    for _, part in parts_with_paths(value):
        yield part


def parts_with_paths(
    value: object, path: tuple[object, ...] = ()
) -> Iterator[tuple[tuple[object, ...], Part]]:
    """Yield the keys and indices that lead to each part, at any depth, and the part."""
    if isinstance(value, Part):
        yield path, value
    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, BaseModel):
        items = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for key, item in items:
        yield from parts_with_paths(item, (*path, key))


def unique(items: Items) -> Items:
    """Return parts or names as they are, or raise a `problem` if one is listed twice."""
    refuse_repeated([item.use if isinstance(item, Part) else item for item in items])
    return items


def refuse_repeated(names: Sequence[str]) -> None:
    """Raise a `problem` if a name is listed twice."""
    for name in names:
        if names.count(name) > 1:
            raise problem(f"{name!r} is listed twice; keep one.")
