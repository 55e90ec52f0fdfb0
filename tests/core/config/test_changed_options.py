import copy

import pytest

from amrbench.config.changed_options import UnknownPathError, with_option

CONTENT = {
    "model": {"use": "net", "width": 8, "around": {"use": "inner", "layers": 2}},
    "losses": [{"use": "spans", "weight": 1}, {"use": "frames", "weight": 2}],
    "stages": [{"name": "finetune", "epochs": 3}],
}


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("model.width", 16, lambda new: new["model"]["width"]),
        ("model.around.layers", 5, lambda new: new["model"]["around"]["layers"]),
        ("losses.frames.weight", 7, lambda new: new["losses"][1]["weight"]),
        ("stages.finetune.epochs", 9, lambda new: new["stages"][0]["epochs"]),
        ("stages", [], lambda new: new["stages"]),
    ],
)
def test_a_value_is_put_at_its_path_and_nothing_else_changes(path, value, where):
    before = copy.deepcopy(CONTENT)
    new = with_option(CONTENT, path, value)
    assert before == CONTENT
    assert where(new) == value
    assert with_option(new, path, where(CONTENT)) == CONTENT


def test_items_are_added_replaced_and_taken_out():
    added = with_option(CONTENT, "losses.edges", {"weight": 3})
    assert added["losses"] == [*CONTENT["losses"], {"use": "edges", "weight": 3}]
    assert with_option(added, "losses.edges", None) == CONTENT
    replaced = with_option(CONTENT, "losses.spans", {})
    assert replaced["losses"] == [{"use": "spans"}, CONTENT["losses"][1]]


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (
            "modle",
            1,
            "there is no 'modle' in the recipe. Did you mean 'model'? Known: model, losses, ",
        ),
        (
            "model.widht",
            1,
            "there is no 'widht' in 'model'. Did you mean 'width'? Known: use, width, ",
        ),
        ("losses.frame.weight", 1, "there is no 'frame' in 'losses'. Did you mean 'frames'? Known: spans, "),
        ("losses.edges", None, "there is no 'edges' in 'losses'. Known: spans, frames."),
        ("losses.edges", 3, "give the options of 'edges' as a mapping, {} for its defaults, or null."),
        ("model.width.more", 1, "'model.width' has no options."),
    ],
)
def test_what_does_not_exist_is_named(path, value, text):
    with pytest.raises(UnknownPathError) as error:
        with_option(CONTENT, path, value)
    assert str(error.value).startswith(text)
