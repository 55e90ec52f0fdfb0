import os
import subprocess
import sys

from amrbench.evaluation.result import read_result
from amrbench_plugins.executors.local import Local
from tests.small_world.runs import killed_once, same_bits


def test_stages_in_processes_of_their_own_have_the_same_metrics(same_with):
    same_with({"use": "local"}, jobs=2)


def test_a_process_that_is_killed_ends_no_other_and_is_started_again(run_toy, tmp_path):
    (tmp_path / "killed").mkdir()
    recipe = killed_once(tmp_path / "killed", after=2)
    done, recorder = run_toy("killed", {"use": "local"}, recipe, jobs=2, seeds=1)
    assert not (tmp_path / "killed" / "kill").exists()
    (lost,) = [text for text in recorder.notes if "again" in text]
    assert lost == (
        "toy pretrain: its job ended with exit code -9 before the stage was finished; it is started again"
    )
    assert len(done.result.rows) > 0


def test_the_processes_are_as_many_as_the_jobs():
    assert Local().build(3).slots() == 3
    assert Local.on_this_machine


def test_two_processes_with_the_same_command_share_the_work(run_toy, tmp_path):
    plain, _ = run_toy("plain")
    (folder := tmp_path / "shared").mkdir()
    for name in ("toy.yaml", "tiny.yaml"):
        (folder / name).write_bytes((tmp_path / "plain" / name).read_bytes())
    options = ["--protocol", "tiny.yaml", "--jobs", "1", "--without", "soups"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "amrbench", "run", "toy.yaml", *options],
            cwd=folder,
            env=os.environ | {"AMRBENCH_CACHE": str(folder / "cache")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    messages = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], messages
    assert same_bits(tmp_path / "plain", folder)
    (done,) = (folder / "runs").iterdir()
    assert done.name == plain.folder.name
    assert read_result(done).rows == plain.result.rows
