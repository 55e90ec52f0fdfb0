import pytest

from amrbench.config.recipe_diff import compare

ADAM = {"use": "adam", "lr": 1, "schedule": {"use": "flat"}}
LOSSES = [{"use": "a", "weight": 1}, {"use": "b"}, {"use": "d"}]
PAIRS = {
    "equal": ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, []),
    "a number": ({"m": {"use": "x", "width": 1}}, {"m": {"use": "x", "width": 2}}, ["m.width"]),
    "a part in a list": (
        {"losses": LOSSES},
        {"losses": [{"use": "a", "weight": 2}, {"use": "d"}, {"use": "c"}, {"use": "e"}]},
        ["losses.a.weight", "losses.b", "losses.c", "losses.e"],
    ),
    "a list that was empty": ({"l": []}, {"l": [{"use": "x"}]}, ["l.x"]),
    "another order": ({"l": LOSSES}, {"l": LOSSES[::-1]}, ["l"]),
    "a name twice": ({"l": LOSSES[:1]}, {"l": LOSSES[:1] * 2}, ["l"]),
    "a list of words": ({"l": ["a"]}, {"l": ["a", "b"]}, ["l"]),
    "a stage": (
        {"stages": [{"name": "first", "epochs": 1}, {"name": "last", "epochs": 1}]},
        {"stages": [{"name": "first", "epochs": 1}, {"name": "mid"}, {"name": "last", "epochs": 2}]},
        ["stages.mid", "stages.last.epochs"],
    ),
    "wrapped parts": (
        {"o": ADAM},
        {"o": {"use": "mean", "around": {"use": "sharp", "around": ADAM | {"schedule": {"use": "slope"}}}}},
        ["o.mean", "o.sharp", "o.adam.schedule"],
    ),
    "another inside": ({"o": ADAM}, {"o": {"use": "mean", "around": {"use": "sgd"}}}, ["o"]),
    "wrapped the other way round": (
        {"o": {"use": "mean", "around": {"use": "sharp", "around": ADAM}}},
        {"o": {"use": "sharp", "around": {"use": "mean", "around": ADAM}}},
        ["o"],
    ),
    "another part with the same slot": (
        {"q": {"use": "zeros", "anchors": {"use": "random", "count": 1}}},
        {"q": {"use": "film", "content": "learned", "anchors": {"use": "random", "count": 3}}},
        ["q", "q.anchors.count"],
    ),
    "a slot that only one has": ({"q": {"use": "x"}}, {"q": {"use": "y", "in": {"use": "z"}}}, ["q"]),
    "plain mappings": ({"epochs": {"a": 1}}, {"epochs": {"b": 1}}, ["epochs"]),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_two_differ_at_these_places(pair):
    first, second, places = pair
    assert compare(first, second).places == places


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_no_place_gives_the_first_and_all_places_the_second(pair):
    first, second, places = pair
    assert compare(first, second).mixed([]) == first
    assert compare(first, second).mixed(places) == second


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_both_directions_meet_in_the_middle(pair):
    first, second, places = pair
    for place in places:
        rest = [each for each in places if each != place]
        assert compare(first, second).mixed([place]) == compare(second, first).mixed(rest)


def test_one_place_changes_nothing_else():
    first, second, _ = PAIRS["wrapped parts"]
    assert compare(first, second).mixed(["o.sharp"]) == {"o": {"use": "sharp", "around": ADAM}}
    first, second, _ = PAIRS["another part with the same slot"]
    anchors = first["q"]["anchors"]
    assert compare(first, second).mixed(["q"]) == {
        "q": {"use": "film", "content": "learned", "anchors": anchors}
    }


def test_a_removed_and_an_added_part_stand_where_they_stood():
    first, second, _ = PAIRS["a part in a list"]
    mixed = compare(first, second).mixed(["losses.c", "losses.e"])["losses"]
    assert [each["use"] for each in mixed] == ["a", "b", "d", "c", "e"]
    mixed = compare(second, first).mixed(["losses.b"])["losses"]
    assert [each["use"] for each in mixed] == ["a", "b", "d", "c", "e"]
