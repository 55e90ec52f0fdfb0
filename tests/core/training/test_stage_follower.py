import os
import shutil
import time

import pytest

from amrbench.training.log import Epoch, ProgressFile, StageProgress, begin, write_epoch
from amrbench.training.stage_follower import GroupFollower
from amrbench.training.stage_group import in_group
from amrbench.training.stage_store import unfinished_folder
from tests.small_world.runs import Recorder, plan


@pytest.fixture
def spec(toy_sources):
    return plan(toy_sources).chains[0]


def begun(spec, store):
    """Return the folder of a stage that is trained, with an empty log, and what reports its progress."""
    folder = unfinished_folder(spec, store)
    folder.mkdir(parents=True)
    begin(folder)
    return folder, ProgressFile(folder, lambda _: None)


def epoch(number):
    return Epoch(number, {"spans": 1.0}, {"span": {"R1@0.7": 0.0}}, 1.0, 100.0 * number)


def test_epochs_and_progress_are_reported_once_they_are_new(spec, tmp_path):
    follower, recorder = GroupFollower(spec, tmp_path), Recorder()
    assert follower.report_new(recorder) == []
    assert follower.where() == ""
    folder, report = begun(spec, tmp_path)
    report(StageProgress(1, 0, 0, "reading features"))
    assert follower.report_new(recorder) == []
    write_epoch(folder, spec.name, epoch(1))
    report(StageProgress(2, 1, 3))
    assert follower.report_new(recorder) == [epoch(1)]
    write_epoch(folder, spec.name, epoch(2))
    assert follower.report_new(recorder) == [epoch(2)]
    folder.rename(tmp_path / spec.key)
    assert follower.report_new(recorder) == []
    assert recorder.epochs == [(spec.name, 1), (spec.name, 2)]
    assert recorder.steps == [
        (spec.name, StageProgress(1, 0, 0, "reading features")),
        (spec.name, StageProgress(2, 1, 3)),
    ], "progress in an epoch that is in the log is old"
    assert follower.where() == "epoch 2, after step 1 of 3"
    follower.report_end(recorder)
    assert recorder.ended == {spec.name}


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_what_a_killed_process_has_left_is_not_reported_whatever_clocks_say(spec, tmp_path, jump):
    folder, report = begun(spec, tmp_path)
    write_epoch(folder, spec.name, epoch(1))
    report(StageProgress(2, 1, 3))
    for file in folder.iterdir():
        os.utime(file, (time.time() + jump, time.time() + jump))
    follower, recorder = GroupFollower(spec, tmp_path), Recorder()
    assert follower.report_new(recorder) == []
    assert (recorder.steps, follower.where()) == ([], "")
    write_epoch(folder, spec.name, epoch(2))
    assert len(follower.report_new(recorder)) == 2, "it is alive"


def test_epochs_of_a_lost_process_are_not_reported_again_by_the_next_one(spec, tmp_path):
    follower, recorder = GroupFollower(spec, tmp_path), Recorder()
    folder, _ = begun(spec, tmp_path)
    write_epoch(folder, spec.name, epoch(1))
    write_epoch(folder, spec.name, epoch(2))
    assert len(follower.report_new(recorder)) == 2
    follower.begin()
    assert follower.report_new(recorder) == []
    begin(folder)
    write_epoch(folder, spec.name, epoch(1))
    assert follower.report_new(recorder) == []
    write_epoch(folder, spec.name, epoch(2))
    write_epoch(folder, spec.name, epoch(3))
    assert follower.report_new(recorder) == [epoch(3)]
    assert recorder.epochs == [(spec.name, 1), (spec.name, 2), (spec.name, 3)]


def test_folders_that_another_process_renames_meanwhile_are_no_fault(spec, tmp_path, monkeypatch):
    def vanish(*_):
        raise FileNotFoundError

    monkeypatch.setattr("amrbench.training.stage_follower.unfinished_folders", vanish)
    assert GroupFollower(spec, tmp_path).report_new(Recorder()) == []


def test_stages_that_are_trained_at_once_are_followed_at_once(spec, tmp_path):
    group = in_group(spec, 0, (0, 1))
    follower, recorder = GroupFollower(group, tmp_path), Recorder()
    for own in group.group:
        write_epoch(begun(own, tmp_path)[0], own.name, epoch(1))
    assert len(follower.report_new(recorder)) == 2
    assert recorder.epochs == [(own.name, 1) for own in group.group]
    shutil.rmtree(tmp_path)
    assert follower.report_new(recorder) == []
