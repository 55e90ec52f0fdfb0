import pytest

from amrbench.config.recipe_diff import differences, mix

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
    "parts around parts": (
        {"o": ADAM},
        {"o": {"use": "mean", "around": {"use": "sharp", "around": ADAM | {"schedule": {"use": "slope"}}}}},
        ["o.mean", "o.sharp", "o.adam.schedule"],
    ),
    "another innermost part": ({"o": ADAM}, {"o": {"use": "mean", "around": {"use": "sgd"}}}, ["o"]),
    "parts around parts in another order": (
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
def test_the_two_differ_at_these_paths(pair):
    first, second, paths = pair
    assert differences(first, second) == paths


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_no_path_gives_the_first_and_all_paths_the_second(pair):
    first, second, paths = pair
    assert mix(first, second, []) == first
    assert mix(first, second, paths) == second


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_both_directions_meet_in_the_middle(pair):
    first, second, paths = pair
    for path in paths:
        others = [other for other in paths if other != path]
        assert mix(first, second, [path]) == mix(second, first, others)


def test_one_path_changes_nothing_else():
    first, second, _ = PAIRS["parts around parts"]
    assert mix(first, second, ["o.sharp"]) == {"o": {"use": "sharp", "around": ADAM}}
    first, second, _ = PAIRS["another part with the same slot"]
    anchors = first["q"]["anchors"]
    assert mix(first, second, ["q"]) == {"q": {"use": "film", "content": "learned", "anchors": anchors}}


def test_removed_and_added_parts_keep_their_position():
    first, second, _ = PAIRS["a part in a list"]
    mixed = mix(first, second, ["losses.c", "losses.e"])["losses"]
    assert [part["use"] for part in mixed] == ["a", "b", "d", "c", "e"]
    mixed = mix(second, first, ["losses.b"])["losses"]
    assert [part["use"] for part in mixed] == ["a", "b", "d", "c", "e"]
