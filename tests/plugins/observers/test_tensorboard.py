import subprocess
import sys

import pytest

from amrbench.testing.observers import RUNS, rows_of, seen_epochs
from amrbench_plugins.observers.parts import TensorBoard

pytest.importorskip("tensorboard")


@pytest.fixture
def events(tmp_path):
    """Show two runs to TensorBoard; return what it reads: its runs, and a function to read scalars."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    observer = TensorBoard(folder=str(tmp_path / "logs")).build()
    observer.begin(RUNS)
    for epoch in seen_epochs(2)[:-1]:
        observer.epoch(epoch)
    for run, rows in zip(RUNS, rows_of(2), strict=True):
        observer.end(run, rows)
    observer.close()
    read = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "logs"))
    return read.Reload()


def test_tensorboard_shows_the_losses_and_metrics_of_each_stage(events):
    run = "one@tiny-0123abcd"
    assert set(events.Runs()) == {
        run,
        "two _b__@tiny-0123abcd",
        f"{run}/toy pretrain",
        f"{run}/one finetune, seed 0",
        f"{run}/one finetune, seed 1",
    }
    stage = f"{run}/one finetune, seed 1"
    losses = [(own.step, own.value) for own in events.Scalars(stage, "loss/spans")]
    assert losses == [(1, 1.5), (2, 0.75)]
    assert [(own.step, own.value) for own in events.Scalars(stage, "val/decoder/R1@0.7")] == [(2, 12.5)]
    assert [own.value for own in events.Scalars(stage, "loss")] == [1.25, 0.5]


def test_tensorboard_shows_the_table_and_what_the_run_is(events):
    run = "one@tiny-0123abcd"
    assert [own.value for own in events.Scalars(run, "test/R1@0.7/mean")] == [10.0]
    (text,) = events.Tensors(run, "run")
    shown = text.tensor_proto.string_val[0].decode()
    assert "| protocol | tiny: For tests. Stand-ins: a stands in for b. |" in shown
    assert '| options | {"model": {"use": "toy", "width": 8}' in shown
    assert events.SummaryMetadata(run, "run").plugin_data.plugin_name == "text"


def test_neither_torch_nor_tensorflow_is_imported():
    script = (
        "import sys\n"
        "from amrbench_plugins.observers.parts import TensorBoard\n"
        "TensorBoard().build().close()\n"
        "print(sorted({'torch', 'tensorflow', 'tensorboardX'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"
