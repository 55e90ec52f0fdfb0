import pytest

from amrbench.errors import DataError, RunError, as_run_error, did_you_mean, dotted, some


def test_the_nearest_known_name_is_suggested():
    assert did_you_mean("flim", ["film", "cross-attention"]) == " Did you mean 'film'?"
    assert did_you_mean("flim", ["cross-attention"]) == ""


def test_long_lists_are_cut_and_the_rest_is_counted():
    assert some(["a", 1]) == "'a', 1"
    assert some(range(7), limit=2) == "0, 1 and 5 more"
    assert some([]) == ""


def test_paths_are_written_with_dots():
    assert dotted(("training", "losses", 1, "weight")) == "training.losses.1.weight"


def wrapped(error, *kinds):
    """Return what becomes of an exception of another package."""
    with pytest.raises(Exception) as raised, as_run_error("it fails with size 3", "Take 2.", *kinds):  # noqa: PT011
        raise error
    return raised.value


def test_what_another_package_raises_is_one_line_with_its_reason():
    cause = OSError("no\n  room")
    error = wrapped(cause, OSError, ValueError)
    assert type(error) is RunError
    assert error.__cause__ is cause
    assert str(error) == "it fails with size 3 (no room). Take 2."
    assert str(wrapped(KeyError(), Exception)) == "it fails with size 3 (KeyError). Take 2."
    assert len(str(wrapped(OSError("far too long " * 100), OSError))) < 440


@pytest.mark.parametrize(
    ("error", "kind"), [(DataError("x"), Exception), (MemoryError(), Exception), (KeyError("x"), OSError)]
)
def test_other_exceptions_stay_what_they_are(error, kind):
    assert wrapped(error, kind) is error
