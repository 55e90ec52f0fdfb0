"""A stage that is stopped or killed anywhere goes on to the bits of one that is not."""

from collections.abc import Callable

import pytest

from amrbench.data.feature_dataset import DatasetCache
from amrbench.files.checksums import changed_files
from amrbench.interrupts import Interrupted
from amrbench.notes import collected_notes
from amrbench.training import loop, saved_states
from amrbench.training.stage_store import unfinished_folder
from amrbench.training.stages import run_stage
from tests.small_world.parts import RECIPE
from tests.small_world.runs import Recorder, plan, train

STEPS = 3
"""Batches of an epoch of the toy recipe's first stage, which has three epochs."""


class Stopping:
    """Asks to stop after some questions, once."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def stop_after(steps: int, work: Callable[[], object], monkeypatch) -> Interrupted:
    """Begin to train or go on, and stop after some steps."""
    with monkeypatch.context() as patch:
        patch.setattr(loop, "stop_requested", Stopping(steps))
        with pytest.raises(Interrupted) as stopped:
            work()
    return stopped.value


def files_of(folder) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "times.jsonl"}


@pytest.fixture
def undisturbed(toy_sources, tmp_path):
    spec = plan(toy_sources).chains[0].parent
    return spec, files_of(train(spec, tmp_path / "undisturbed"))


@pytest.mark.parametrize("after", range(1, 3 * STEPS))
def test_a_stage_that_was_stopped_goes_on_to_the_same_bytes(undisturbed, tmp_path, monkeypatch, after):
    spec, expected = undisturbed
    stopped = stop_after(after, lambda: train(spec, tmp_path), monkeypatch)
    epoch, step = divmod(after - 1, STEPS)
    at = f", step {step + 1} of {STEPS}" if step < STEPS - 1 else ""
    assert stopped.at == f"toy pretrain, epoch {epoch + 1}{at}"
    (state,) = unfinished_folder(spec, tmp_path).glob("state-*")
    assert state.name == "state-{:06d}-{:08d}".format(*divmod(after, STEPS))

    recorder = Recorder()
    folder = run_stage(spec, tmp_path, recorder, DatasetCache())
    where = f"epoch {epoch + 1}, step {step + 1} of {STEPS}" if at else f"epoch {epoch + 1}"
    assert recorder.notes == [f"toy pretrain: going on after {where}"]
    assert recorder.epochs == [("toy pretrain", number) for number in (1, 2, 3)]
    assert files_of(folder) == expected
    assert changed_files(folder) == []
    assert not list(folder.glob("state-*"))


@pytest.mark.parametrize("recipe", ["dropout", "kept"])
def test_random_draws_and_kept_weights_go_on_too(toy_sources, tmp_path, monkeypatch, recipe):
    options = {"dropout": {"use": "toy", "dropout": 0.5}, "kept": RECIPE["model"]}[recipe]
    spec = plan(toy_sources, RECIPE | {"model": options}).chains[0]
    expected = files_of(train(spec, tmp_path / "undisturbed"))
    monkeypatch.setattr(saved_states.SavedStates, "due", lambda *_: True)
    for after in (2, 5, 4):
        stop_after(after, lambda: train(spec, tmp_path), monkeypatch)
    assert files_of(train(spec, tmp_path)) == expected


@pytest.mark.parametrize("after", range(1, 12))
def test_so_does_a_stage_whose_epochs_are_chosen_by_means(toy_sources, tmp_path, monkeypatch, after):
    training = RECIPE["training"] | {"select_over": 3, "readouts": ["span", "second"]}
    spec = plan(toy_sources, RECIPE | {"training": training}).chains[0]
    train(spec.parent, tmp_path / "undisturbed")
    train(spec.parent, tmp_path)
    expected = files_of(train(spec, tmp_path / "undisturbed"))
    stop_after(after, lambda: train(spec, tmp_path), monkeypatch)
    assert files_of(train(spec, tmp_path)) == expected


def test_a_damaged_state_costs_time_but_no_bits(undisturbed, tmp_path, monkeypatch):
    spec, expected = undisturbed
    stop_after(5, lambda: train(spec, tmp_path), monkeypatch)
    (state,) = unfinished_folder(spec, tmp_path).glob("state-*")
    (state / "state.safetensors").write_bytes(b"damaged")
    with collected_notes() as notes:
        assert files_of(train(spec, tmp_path)) == expected
    assert notes == [f"{state}: state.safetensors has changed, so this saved state is not used."]


def test_a_folder_that_has_changed_is_set_aside_and_trained_again(undisturbed, tmp_path):
    spec, expected = undisturbed
    folder = train(spec, tmp_path)
    aside = folder.with_name(f"{spec.key}.damaged")
    for number, name in enumerate(sorted(expected), 1):
        damaged = bytearray(expected[name])
        damaged[len(damaged) // 2] ^= 4
        (folder / name).write_bytes(damaged)
        with collected_notes() as notes:
            assert train(spec, tmp_path) == folder
        (told,) = notes
        assert told.startswith("toy pretrain is trained again: ")
        assert name == "SHA256SUMS" or f": {name} has changed; " in told
        where = aside if number == 1 else f"{aside}-{number}"
        assert told.endswith(f"; what was there is now in {where}")
        assert files_of(folder) == expected


def test_a_folder_without_checksums_is_no_finished_stage(undisturbed, tmp_path):
    spec, expected = undisturbed
    (tmp_path / spec.key).mkdir()
    (tmp_path / spec.key / "done.json").write_text("")
    with collected_notes() as notes:
        assert files_of(train(spec, tmp_path)) == expected
    assert notes[0].startswith("toy pretrain is trained again: SHA256SUMS is missing")
    assert (tmp_path / f"{spec.key}.damaged" / "done.json").exists()
