from amrbench.errors import did_you_mean, dotted, some


def test_the_nearest_known_name_is_suggested():
    assert did_you_mean("flim", ["film", "cross-attention"]) == " Did you mean 'film'?"
    assert did_you_mean("flim", ["cross-attention"]) == ""


def test_long_lists_are_cut_and_the_rest_is_counted():
    assert some(["a", 1]) == "'a', 1"
    assert some(range(7), limit=2) == "0, 1 and 5 more"
    assert some([]) == ""


def test_paths_are_written_with_dots():
    assert dotted(("training", "losses", 1, "weight")) == "training.losses.1.weight"
