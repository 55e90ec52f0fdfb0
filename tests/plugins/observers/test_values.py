import pytest

from amrbench.errors import RunError
from amrbench.slots.observers import ObservedEpoch, ObservedRow
from amrbench_plugins.observers.values import epoch_values, imported, markdown, plain_name, row_values


def test_an_epoch_has_its_losses_their_sum_and_the_metrics_of_each_readout():
    val = {"decoder": {"R1@0.7": 12.5}, "window-search": {"R1@0.7": 20.0}}
    epoch = ObservedEpoch("toy pre", ("toy@tiny-1",), 1, 2, {"spans": 1.5, "balance": -0.5}, val, 3.0)
    assert epoch_values(epoch) == {
        "loss": 1.0,
        "loss/spans": 1.5,
        "loss/balance": -0.5,
        "val/decoder/R1@0.7": 12.5,
        "val/window-search/R1@0.7": 20.0,
        "seconds": 3.0,
    }


def test_a_row_names_split_metric_and_member():
    assert row_values(ObservedRow("seed 0", "test", {"mAP": 3.0})) == {"test/mAP/seed 0": 3.0}
    assert row_values(ObservedRow("seed 0", "eval", {})) == {}


@pytest.mark.parametrize("name", ["../a", "/etc/x", "a/b", "a\\b", "C:x", "..", "a\nb", " a "])
def test_names_of_folders_lead_nowhere_else(name):
    assert not set(plain_name(name)) & set("/\\:.\n")
    assert plain_name(name) == plain_name(name).strip()


def test_a_table_in_markdown_keeps_its_columns():
    assert markdown({"a": "x | y"}).splitlines() == ["| | |", "|---|---|", "| a | x   y |"]


def test_a_missing_package_is_an_error_that_names_the_extra():
    with pytest.raises(RunError) as refused:
        imported("nobody_has_this.writer", "tensorboard")
    assert str(refused.value) == (
        "the observer needs the package nobody_has_this. Install it with 'pip install amrbench[tensorboard]'."
    )
