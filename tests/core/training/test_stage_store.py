import os
import shutil

from amrbench.data.feature_dataset import DatasetCache
from amrbench.notes import collected_notes
from amrbench.training.stage_store import finish_folder, unfinished_folder
from amrbench.training.stages import run_stage
from tests.core.training.test_resume import files_of, stop_after
from tests.small_world.runs import Recorder, plan, train


def test_a_stage_that_another_process_finished_first_is_kept(toy_sources, tmp_path):
    spec = plan(toy_sources).chains[0].parent
    folder = train(spec, tmp_path)
    own = unfinished_folder(spec, tmp_path)
    for content in ("same", "other"):
        shutil.copytree(folder, own)
        if content == "other":
            (own / "SHA256SUMS").write_text("0  done.json\n")
        with collected_notes() as notes:
            finish_folder(spec, tmp_path)
        assert bool(notes) == (content == "other")
        assert not own.exists()
    assert notes == [
        "toy pretrain: another process trained it at the same time, to other bytes; its files are kept"
    ]


def test_a_process_goes_on_with_what_one_that_ended_has_saved(toy_sources, tmp_path, monkeypatch):
    spec = plan(toy_sources).chains[0].parent
    expected = files_of(train(spec, tmp_path / "undisturbed"))
    stop_after(5, lambda: train(spec, tmp_path), monkeypatch)
    own = unfinished_folder(spec, tmp_path)
    own.rename(tmp_path / f"{spec.key}.making-another-host-7")
    (tmp_path / f"{spec.key}.making-another-host-8").mkdir()
    recorder = Recorder()
    assert files_of(run_stage(spec, tmp_path, recorder, DatasetCache())) == expected
    assert recorder.notes == ["toy pretrain: going on after epoch 2, step 2 of 3"]
    assert not list(tmp_path.glob("*.making-*"))


def test_of_several_unfinished_folders_the_furthest_goes_on_whatever_clocks_say(
    toy_sources, tmp_path, monkeypatch
):
    spec = plan(toy_sources).chains[0].parent
    expected = files_of(train(spec, tmp_path / "undisturbed"))
    own = unfinished_folder(spec, tmp_path)
    for number, after in enumerate([7, 2, 5]):
        stop_after(after, lambda: train(spec, tmp_path), monkeypatch)
        own.rename(tmp_path / f"stopped-{number}")
    for number in range(3):
        folder = tmp_path / f"{spec.key}.making-0123456789-{number}"
        (tmp_path / f"stopped-{number}").rename(folder)
        os.utime(folder, (1e9 + number, 1e9 + number))
    recorder = Recorder()
    assert files_of(run_stage(spec, tmp_path, recorder, DatasetCache())) == expected
    assert recorder.notes == ["toy pretrain: going on after epoch 3, step 1 of 3"]
    assert not list(tmp_path.glob("*.making-*"))
