import pytest

from amrbench.interfaces import ResultError
from amrbench.slots.provided import ProvidingPart


class GivingPart(ProvidingPart):
    slot = "giving"


class Giving(GivingPart):
    """Gives what it is told to."""

    use = "giving"
    gives: object = None

    @property
    def provides(self):
        return self.gives


@pytest.mark.parametrize("axes", ["B", "B T 2", "N B Q", "B S+L", "P D", "B S+L+2 n"])
def test_names_with_axes_are_fine(axes):
    assert Giving(gives={"x.y": axes}).provides == {"x.y": axes}


@pytest.mark.parametrize(
    "gives",
    [None, ["x"], "x", {"x": ("B", "T")}, {"x": None}, {3: "B"}, {"x": ""}, {"x": "B  T"}, {"x": "B,T"}],
)
def test_anything_else_is_named_when_the_part_is_made(gives):
    with pytest.raises(ResultError) as error:
        Giving(gives=gives)
    assert str(error.value) == (
        f'provides returns {gives!r}, not a mapping from names to axes such as {{"spans": "N B Q 2"}}.'
    )


def test_nothing_may_be_provided():
    assert Giving(gives={}).provides == {}
