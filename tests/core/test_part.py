from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from amrbench.errors import dotted
from amrbench.interfaces import ResultError
from amrbench.part import Part, Strict, budgeted, parts_with_paths, unique
from amrbench.registry import Registry


class BreadPart(Part):
    slot = "bread"


class CheesePart(Part):
    slot = "cheese"


class Rye(BreadPart):
    """Dark."""

    use = "rye"
    slices: int = Field(2, ge=1, description="how many")


class Toast(BreadPart):
    """Another bread, made hot."""

    use = "toast"
    around: BreadPart


class Gouda(CheesePart):
    """Mild."""

    use = "gouda"
    months: float = 3.0


class Sandwich(Strict):
    bread: BreadPart
    cheese: Annotated[tuple[CheesePart, ...], AfterValidator(unique)] = ()
    name: str = "plain"


REGISTRY = Registry.of(Rye, Toast, Gouda)


def sandwich(**options):
    return Sandwich.model_validate(options, context=REGISTRY)


def mistakes(**options):
    with pytest.raises(ValidationError) as error:
        sandwich(**options)
    return {".".join(map(str, item["loc"])): item["msg"] for item in error.value.errors()}


def test_a_slot_becomes_the_part_that_is_named():
    assert sandwich(bread={"use": "rye", "slices": 3}).bread == Rye(slices=3)


def test_a_bare_name_stands_for_the_defaults():
    assert sandwich(bread="rye").bread == Rye()


def test_parts_nest_and_form_lists():
    nested = sandwich(bread={"use": "toast", "around": {"use": "rye", "slices": 1}}, cheese=["gouda"])
    assert nested == Sandwich(bread=Toast(around=Rye(slices=1)), cheese=(Gouda(),))


def test_a_built_part_is_taken_as_it_is():
    rye = Rye(slices=5)
    assert Sandwich(bread=rye).bread is rye


def test_options_written_down_and_read_again_are_equal():
    parsed = sandwich(bread={"use": "toast", "around": "rye"}, cheese=["gouda"])
    written = parsed.model_dump(mode="json")
    assert written == {
        "bread": {"use": "toast", "around": {"use": "rye", "slices": 2}},
        "cheese": [{"use": "gouda", "months": 3.0}],
        "name": "plain",
    }
    assert sandwich(**written) == parsed


def test_options_cannot_be_changed():
    with pytest.raises(ValidationError):
        Rye().slices = 3


def test_an_unknown_part_suggests_the_near_one():
    assert mistakes(bread="ry") == {
        "bread": "no bread part is called 'ry'. Did you mean 'rye'? Installed bread parts: rye, toast."
    }


def test_a_part_of_another_slot_is_named_as_such():
    text = "'gouda' is a cheese part, not a bread part."
    assert mistakes(bread="gouda") == {"bread": f"{text} Installed bread parts: rye, toast."}
    with pytest.raises(ValidationError) as error:
        Sandwich(bread=Gouda())
    assert error.value.errors()[0]["msg"] == text


def test_an_unknown_field_suggests_the_near_one():
    assert mistakes(bread={"use": "rye", "slice": 3}) == {
        "bread.slice": "unknown field 'slice'. Did you mean 'slices'?"
    }


def test_an_unknown_field_far_from_all_lists_what_there_is():
    assert mistakes(bread="rye", salt=1) == {"salt": "unknown field 'salt'. Known: bread, cheese, name."}


def test_a_missing_field_is_named():
    assert mistakes() == {"bread": "this field is missing."}
    assert mistakes(bread="toast") == {"bread.around": "this field is missing."}


def test_a_wrong_type_shows_the_value():
    assert mistakes(bread={"use": "rye", "slices": "two"}) == {
        "bread.slices": "Input should be a valid integer, unable to parse string as an integer, not 'two'."
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gouda", "this must be a list, such as [gouda], not 'gouda'."),
        ({"use": "gouda"}, "this must be a list; begin each of its items with '- '."),
        (None, "this must be a list; write [] for an empty one."),
    ],
)
def test_a_single_value_in_place_of_a_list_is_refused_with_the_list(value, text):
    assert mistakes(bread="rye", cheese=value) == {"cheese": text}


class Counts(Strict):
    epochs: Mapping[Literal["first", "last"], int] = Field(default_factory=dict)
    names: Mapping[str, int] = Field(default_factory=dict)
    inner: Sandwich | None = None


@pytest.mark.parametrize(
    ("value", "place", "text"),
    [
        ({"epochs": 1}, ("epochs",), "{first: VALUE}, not 1."),
        ({"names": 1}, ("names",), "{NAME: VALUE}, not 1."),
        ({"inner": 1}, ("inner",), "{bread: VALUE}, not 1."),
        ([1], (), "{epochs: VALUE}, not [1]."),
    ],
)
def test_a_value_in_place_of_a_mapping_is_refused_with_its_form(value, place, text):
    with pytest.raises(ValidationError) as error:
        Counts.model_validate(value)
    (item,) = error.value.errors()
    assert (item["loc"], item["msg"]) == (place, f"this must be a mapping, such as {text}")


@pytest.mark.parametrize(
    ("use", "option", "text"),
    [
        (
            "gouda",
            "months",
            "number, unable to parse string as a number, not '0,5'. Decimals have a point: 0.5.",
        ),
        (
            "rye",
            "slices",
            "integer, unable to parse string as an integer, not '0,5'. Write the number without a comma.",
        ),
    ],
)
def test_a_comma_in_a_number_is_named(use, option, text):
    own = {"use": use, option: "0,5"}
    texts = mistakes(bread=own) if use == "rye" else mistakes(bread="rye", cheese=[own])
    assert list(texts.values()) == [f"Input should be a valid {text}"]


def test_a_comma_that_makes_a_number_two_keys_is_named():
    assert mistakes(bread="rye", cheese=[{"use": "gouda", "months": 0, "5": None}]) == {
        "cheese.0.5": "unknown field '5'. Decimals have a point, as in 0.5."
    }


def test_a_value_out_of_bounds_shows_the_value():
    assert mistakes(bread={"use": "rye", "slices": 0}) == {
        "bread.slices": "Input should be greater than or equal to 1, not 0."
    }


@pytest.mark.parametrize("value", ["nan", "inf", "1e999", float("inf")])
def test_numbers_are_finite(value):
    assert mistakes(bread="rye", cheese=[{"use": "gouda", "months": value}]) == {
        "cheese.0.months": f"Input should be a finite number, not {value!r}."
    }


@pytest.mark.parametrize("value", [7, None, ["rye"], {"slices": 2}])
def test_a_value_without_the_name_of_a_part_is_refused_with_the_remedy(value):
    assert mistakes(bread=value) == {
        "bread": f"name a bread part: '{{use: NAME, ...}}', or the bare name, not {value!r}."
    }


def test_a_long_value_without_the_name_of_a_part_is_not_repeated():
    assert mistakes(bread=list(range(50))) == {
        "bread": "name a bread part: '{use: NAME, ...}', or the bare name."
    }


@pytest.mark.parametrize(
    ("value", "place", "text"),
    [
        ("use:rye", "bread", "'use: rye', not 'use:rye'."),
        ({"use:rye": None}, "bread", "'use: rye', not 'use:rye'."),
        ({"use:": None}, "bread", "'use: VALUE', not 'use:'."),
        ({"use": "rye", "slices:3": None}, "bread.slices:3", "'slices: 3', not 'slices:3'."),
    ],
)
def test_a_colon_without_a_blank_is_named(value, place, text):
    assert mistakes(bread=value) == {place: f"write a blank after the colon: {text}"}


def test_all_mistakes_are_reported_together_with_their_paths():
    texts = mistakes(
        bread={"use": "toast", "around": {"use": "rye", "slices": 0, "salt": 1}},
        cheese=["brie", "gouda"],
        nam="x",
    )
    assert sorted(texts) == ["bread.around.salt", "bread.around.slices", "cheese.0", "nam"]


def test_a_name_may_not_be_listed_twice():
    assert mistakes(bread="rye", cheese=["gouda", {"use": "gouda", "months": 6}]) == {
        "cheese": "'gouda' is listed twice; keep one."
    }


def test_a_list_of_names_has_no_repetition_either():
    assert unique(("audio", "text")) == ("audio", "text")
    with pytest.raises(PydanticCustomError, match="^'text' is listed twice; keep one.$"):
        unique(("text", "audio", "text"))


def test_a_missing_registry_is_named():
    with pytest.raises(ValidationError, match="a bread part is chosen from a registry; pass one as context."):
        Sandwich.model_validate({"bread": "rye"})


def test_a_finished_part_cannot_be_extended():
    with pytest.raises(TypeError, match="^DarkRye extends the finished part Rye; let it hold one instead.$"):

        class DarkRye(Rye):
            """Darker."""


def test_a_part_belongs_to_a_slot():
    with pytest.raises(TypeError, match="^Crumb names itself 'crumb' but belongs to no slot.$"):

        class Crumb(Part):
            """Small."""

            use = "crumb"


def test_a_part_needs_a_docstring_of_its_own():
    with pytest.raises(TypeError, match="^Bun needs a docstring: it is what `amrbench parts` shows.$"):

        class Bun(BreadPart):
            use = "bun"


@pytest.mark.parametrize(
    ("use", "near"),
    [
        (" rye", "rye"),
        ("rye ", "rye"),
        ("rye bread", "rye-bread"),
        ("rye\n", "rye"),
        ("rye\u00a0bread", "rye-bread"),
        ("rye.bread", "rye-bread"),
        ("", "my-part"),
        (" ", "my-part"),
        (7, "my-part"),
        (None, "my-part"),
    ],
)
def test_the_name_of_a_part_is_one_word(use, near):
    with pytest.raises(TypeError) as error:
        type("Loaf", (BreadPart,), {"__doc__": "A loaf.", "use": use, "__module__": __name__})
    assert str(error.value) == (
        f"Loaf has use = {use!r}. The name of a part is one word of letters, digits, '-', '_' and '+' "
        f"without blanks, such as {near!r}."
    )


class WinePart(Part):
    slot = "wine"
    requires: ClassVar[frozenset[str]] = frozenset()
    serves: ClassVar[Mapping[str, str]] = {}
    old: ClassVar[bool] = False


@pytest.mark.parametrize(
    ("name", "value", "kind", "example"),
    [
        ("requires", ["glass"], "frozenset", "frozenset()"),
        ("requires", "glass", "frozenset", "frozenset()"),
        ("serves", ["glass"], "dict", "{}"),
        ("old", 3, "bool", "False"),
        ("version", "2", "int", "1"),
    ],
)
def test_what_a_slot_declares_keeps_its_type(name, value, kind, example):
    with pytest.raises(TypeError) as error:
        type("Port", (WinePart,), {"__doc__": "Sweet.", "use": "port", name: value, "__module__": __name__})
    assert str(error.value) == (
        f"Port has {name} = {value!r}, where its slot asks for {kind}, such as {example}."
    )


def test_a_set_or_a_property_is_as_good_as_a_frozenset():
    class Sherry(WinePart):
        """Dry."""

        use = "sherry"
        requires = {"glass"}  # noqa: RUF012

    class Riesling(WinePart):
        """Light."""

        use = "riesling"

        @property
        def requires(self):
            return frozenset({"glass"})

    assert Sherry().requires == Riesling().requires == {"glass"}


def test_a_validator_that_forgets_to_return_the_part_is_named():
    class Forgetful(BreadPart):
        """Stale."""

        use = "forgetful"

        @model_validator(mode="after")
        def _check(self):
            pass

    with pytest.raises(ResultError) as error:
        Sandwich.model_validate({"bread": "forgetful"}, context=Registry.of(Forgetful))
    assert str(error.value) == "a validator returns None, not the part. End it with `return self`."


def test_required_files_are_a_list():
    class Crust(BreadPart):
        """Hard."""

        use = "crust"

        def required_files(self):
            return None

    with pytest.raises(ResultError) as error:
        Crust().required_files()
    assert str(error.value) == "required_files returns None, not a list."


def test_parts_are_listed_with_the_way_to_them():
    nested = sandwich(bread={"use": "toast", "around": "rye"}, cheese=["gouda"])
    assert [(dotted(path), part.use) for path, part in parts_with_paths(nested)] == [
        ("bread", "toast"),
        ("bread.around", "rye"),
        ("cheese.0", "gouda"),
    ]


@pytest.mark.filterwarnings("ignore:Field name")
def test_use_cannot_be_an_option():
    with pytest.raises(
        TypeError, match="^Roll has an option called 'use', which recipes need to name the part.$"
    ):

        class Roll(BreadPart):
            """Round."""

            use: str = "roll"


def test_a_budgeted_field_has_its_key_in_the_budget():
    class Sized(Strict):
        width: int = budgeted(3, "width", ge=1)

    assert Sized.model_fields["width"].json_schema_extra == {"budget": "width"}
    with pytest.raises(ValidationError):
        Sized(width=0)
