import os
import re
from itertools import pairwise

import pytest
import torch

from amrbench.errors import RunError
from amrbench.notes import collected_notes
from amrbench.training import saved_states
from amrbench.training.saved_states import SavedStates


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def states_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_state_replaces_the_one_before(tmp_path):
    states = SavedStates(tmp_path)
    assert states.load() is None
    states.save({"weight": torch.ones(2)}, 0, 9)
    states.save({"weight": torch.zeros(2)}, 1, 0)
    assert states_in(tmp_path) == ["state-000001-00000000"]
    assert SavedStates(tmp_path).load()["weight"].tolist() == [0, 0]
    states.remove()
    assert states_in(tmp_path) == []


def test_a_damaged_state_is_told_and_the_one_before_is_used(tmp_path):
    SavedStates(tmp_path).save(1, 1, 0)
    (tmp_path / "other").mkdir()
    SavedStates(tmp_path / "other").save(2, 2, 0)
    SavedStates(tmp_path).take_from(tmp_path / "other")
    (tmp_path / "other").rmdir()
    file = tmp_path / "state-000002-00000000" / "state.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with collected_notes() as notes:
        assert SavedStates(tmp_path).load() == 1
    assert notes == [f"{file.parent}: state.safetensors has changed, so this saved state is not used."]
    assert states_in(tmp_path) == ["state-000001-00000000"]


def test_of_the_states_of_several_processes_the_furthest_is_used_whatever_clocks_say(tmp_path):
    for number, (epoch, step) in enumerate([(2, 7), (10, 0), (2, 11), (9, 99)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        SavedStates(folder).save([epoch, step], epoch, step)
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (1e9 - number, 1e9 - number))
    own = SavedStates(tmp_path / "3")
    for other in ("0", "1", "2"):
        own.take_from(tmp_path / other)
        assert not list((tmp_path / other).iterdir())
    assert own.load() == [10, 0]
    own.save("after", 10, 1)
    assert states_in(tmp_path / "3") == ["state-000010-00000001"]


def test_a_state_that_is_as_far_is_not_taken(tmp_path):
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        SavedStates(tmp_path / name).save(name, 1, 2)
    SavedStates(tmp_path / "own").take_from(tmp_path / "other")
    assert SavedStates(tmp_path / "own").load() == "own"


def test_a_state_that_was_not_finished_is_not_used(tmp_path):
    SavedStates(tmp_path).save(1, 0, 1)
    (tmp_path / "state-000000-00000001" / "SHA256SUMS").unlink()
    with collected_notes() as notes:
        assert SavedStates(tmp_path).load() is None
    assert notes == [
        f"{tmp_path}/state-000000-00000001: SHA256SUMS is missing, so this saved state is not used."
    ]


def test_a_state_of_other_versions_is_not_used(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(saved_states, "versions", lambda: {"amrbench": "0.0", "torch": "1.0"})
        SavedStates(tmp_path).save(1, 0, 1)
    with collected_notes() as notes:
        assert SavedStates(tmp_path).load() is None
    assert notes == [
        f"{tmp_path}/state-000000-00000001: saved with other versions (amrbench 0.0, torch 1.0), so it "
        "is not used."
    ]


def test_a_disk_that_gives_back_other_bytes_is_named(tmp_path, monkeypatch):
    states = SavedStates(tmp_path)
    states.save(1, 0, 1)
    monkeypatch.setattr(saved_states, "changed_files", lambda folder: ["state.safetensors has changed"])
    with pytest.raises(RunError) as error:
        states.save(2, 0, 2)
    assert str(error.value) == (
        f"{tmp_path}/state-000000-00000002: state.safetensors has changed right after it was written. "
        "Check the disk, and give the same command again."
    )
    monkeypatch.undo()
    assert "state-000000-00000001" in states_in(tmp_path), (
        "the one before is kept until the new one was read back"
    )


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        RunError, match=re.escape("state-000000-00000001: cannot be written (Not a directory).")
    ):
        SavedStates(tmp_path / "file").save(1, 0, 1)


@pytest.mark.parametrize(
    ("epoch", "waits"),
    [(1, 60), (20, 60), (25, 50), (40, 40), (59, 59), (61, 61), (200, 200)],
)
def test_no_more_than_an_epoch_or_a_minute_is_lost(tmp_path, epoch, waits):
    """Between two saves pass as many whole epochs as fit into a minute, at least one."""
    clock = Clock()
    states, saved = SavedStates(tmp_path, clock), [clock.now]
    for _ in range(400):
        clock.now += epoch
        if states.due(epoch):
            states.save(0, 0, 0)
            saved.append(clock.now)
        if len(saved) == 4:
            break
    assert [later - earlier for earlier, later in pairwise(saved)] == [waits] * 3


def test_long_epochs_are_saved_within(tmp_path):
    clock = Clock()
    states = SavedStates(tmp_path, clock)
    clock.now += 279
    assert not states.due(0)
    clock.now += 2
    assert states.due(0)
    states.save(0, 0, 0)
    assert not states.due(0)
