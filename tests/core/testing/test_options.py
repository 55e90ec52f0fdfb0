"""Checks of options, and what `check_part` and `sample` say about parts that they cannot check."""

from pydantic import Field

from amrbench.part import Part
from amrbench.registry import Registry
from amrbench.testing import check_part
from tests.core.testing.defects import failure


class WinePart(Part):
    slot = "wine"


class Merlot(WinePart):
    """A wine without a stop"""

    use = "merlot"


class Riesling(WinePart):
    """A wine."""

    use = "riesling"
    sweetness: int = 3


class Port(WinePart):
    """A wine."""

    use = "port"
    years: int = Field(description="how old")


class Sherry(WinePart):
    """A wine."""

    use = "sherry"


def test_a_docstring_without_a_sentence_is_found():
    assert failure(Merlot) == (
        "wine 'merlot': the first line of its docstring is not a sentence: 'A wine without a stop'."
    )


def test_an_option_without_a_description_is_found():
    assert failure(Riesling) == (
        "wine 'riesling': the option 'sweetness' has no description; give Field(description=...)."
    )


def test_a_part_with_required_options_and_no_example_says_what_to_declare():
    assert failure(Port) == (
        "wine 'port' cannot be tried: years: this field is missing. Declare `example`, a mapping of options."
    )


def test_a_slot_without_a_contract_says_what_to_pass():
    assert failure(Sherry).startswith(
        "the slot 'wine' has no contract; pass contracts={'wine': ...}. Known: activation,"
    )


def test_a_contract_of_a_further_slot_is_called():
    checked = []
    check_part(Sherry(), Registry.of(Sherry), contracts={"wine": lambda part, fixture: checked.append(part)})
    assert checked == [Sherry()]
