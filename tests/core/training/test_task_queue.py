import pytest

from amrbench.errors import RunError
from amrbench.interrupts import Interrupted
from amrbench.notes import collected_notes
from amrbench.training import task_queue
from amrbench.training.stage_store import claim_file
from amrbench.training.task_queue import MOST_STARTS, TaskReport
from tests.core.training.test_stage_queue import claim_elsewhere
from tests.small_world.executors import Ended, Here, part_of, train_here
from tests.small_world.parts import PROTOCOL, RECIPE
from tests.small_world.runs import Recorder, changed, run_in, same_bits, stages_in, write_yaml


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(task_queue, "POLL_SECONDS", 0.0)


def run_by(folder, do=train_here, reporter=None, at_once=2, **options):
    """Run the recipe of a folder with an executor; return it and the run."""
    executor = Here(do, at_once)
    done = run_in(folder, executor=part_of(executor), reporter=reporter or Recorder(), **options)
    return executor, done


def tasks_in(folder):
    return [file.name for file in (folder / "cache" / "tasks").iterdir()]


def test_an_executor_changes_neither_keys_nor_bits_nor_metrics(new_toy_folder):
    folder, other, recorder = new_toy_folder(), new_toy_folder(), Recorder()
    one = run_in(folder)
    executor, two = run_by(other, reporter=recorder)
    assert executor.waves == [["toy pretrain"], ["toy finetune, seed 0", "toy finetune, seed 1"]]
    assert same_bits(folder, other)
    assert one.result.rows == two.result.rows
    assert sorted(recorder.epochs) == sorted(
        [("toy pretrain", n) for n in (1, 2, 3)]
        + [(f"toy finetune, seed {seed}", n) for seed in (0, 1) for n in (1, 2, 3, 4)]
    ), "epochs of the jobs are reported here"
    assert recorder.ended == {"toy pretrain", "toy finetune, seed 0", "toy finetune, seed 1"}
    assert tasks_in(other) == []
    assert run_by(other)[0].waves == [], "nothing is missing any more"


def test_no_more_tasks_are_submitted_than_there_are_slots(toy_folder):
    executor, _ = run_by(toy_folder, at_once=1)
    assert [len(wave) for wave in executor.waves] == [1, 1, 1]


def test_a_lost_task_is_started_again(toy_folder):
    lost = []

    def lose_seed_1_once(task):
        if "seed 1" in task.name and not lost:
            lost.append(task.name)
            return -9
        return train_here(task)

    recorder = Recorder()
    executor, _ = run_by(toy_folder, lose_seed_1_once, recorder)
    assert executor.waves[1:] == [["toy finetune, seed 0", "toy finetune, seed 1"], ["toy finetune, seed 1"]]
    assert (
        "toy finetune, seed 1: its job ended with exit code -9 before the stage was finished; it is started "
        "again"
    ) in recorder.notes
    assert len(stages_in(toy_folder)) == 3


@pytest.mark.parametrize(("code", "how"), [(-9, "ended with exit code -9"), (0, "ended")])
def test_a_task_that_is_lost_again_and_again_ends_no_other(toy_folder, code, how):
    def lose_seed_0(task):
        return code if "seed 0" in task.name else train_here(task)

    message = (
        f"toy finetune, seed 0: its job {how} before the stage was finished, 3 times. The system kills "
        "processes if memory is short, and batch systems do at their limits. What is finished is kept, and "
        "so is the state of this stage: give the same command again, with more memory or time for a job."
    )
    with pytest.raises(RunError) as error:
        run_by(toy_folder, lose_seed_0)
    assert str(error.value) == message
    assert MOST_STARTS == 3
    assert len(stages_in(toy_folder)) == 2, "pretraining and the other seed"
    run_by(toy_folder)
    assert len(stages_in(toy_folder)) == 3


def test_a_failed_stage_is_reported_and_others_are_finished(toy_folder):
    """Each seed has a pretraining of its own; that of seed 0 fails."""
    (marker := toy_folder / "once").touch()
    failing = {"use": "failing", "kind": "nan", "at": str(marker), "after": 1}
    write_yaml(toy_folder / "toy.yaml", changed(RECIPE, training__losses=["frames", "spans", failing]))
    write_yaml(toy_folder / "tiny.yaml", PROTOCOL | {"chains": "own"})
    recorder = Recorder()
    with pytest.raises(RunError, match="toy pretrain, epoch 1, .*'failing' is not finite") as error:
        run_by(toy_folder, reporter=recorder)
    assert f"{error.value} Stages that do not start from it are trained first." in recorder.notes
    assert len(stages_in(toy_folder)) == 2, "the chain of the other seed"
    assert tasks_in(toy_folder) == []


def test_a_bug_is_reported_with_the_output_of_the_job(toy_folder):
    def crash(task):
        task.log.write_text("Traceback ...")
        return 1

    with pytest.raises(RunError) as error:
        run_by(toy_folder, crash)
    (log,) = (toy_folder / "cache" / "tasks").iterdir()
    assert str(error.value) == f"toy pretrain: its job ended with exit code 1; see {log}"
    log.unlink()
    with pytest.raises(RunError, match="toy pretrain: its job ended with exit code 2; see the output of the"):
        run_by(toy_folder, lambda task: 2)


def test_notes_of_jobs_are_issued_here(toy_folder):
    def train_with_note(task):
        code = train_here(task)
        TaskReport(notes=(f"of {task.name}",)).write(task.file)
        return code

    with collected_notes() as notes:
        run_by(toy_folder, train_with_note, seeds=1)
    assert notes[:2] == ["of toy pretrain", "of toy finetune, seed 0"]


def test_a_damaged_report_says_nothing(tmp_path):
    task = tmp_path / "key.json"
    assert TaskReport.read(task) == TaskReport()
    TaskReport.file_of(task).write_text("{")
    assert TaskReport.read(task) == TaskReport()
    TaskReport(error="wrong").write(task)
    assert TaskReport.read(task).error == "wrong"


def test_stages_that_others_train_are_waited_for(toy_folder, monkeypatch):
    listed, claims = task_queue.missing_stages, []

    def claim_the_first(chains, store, note):
        missing = listed(chains, store, note)
        claim_elsewhere(missing[0], store)
        claims.append(claim_file(missing[0], store))
        return missing

    class OtherEnds(Recorder):
        def note(self, text):
            super().note(text)
            for claim in claims:
                claim.unlink(missing_ok=True)

    recorder = OtherEnds()
    monkeypatch.setattr(task_queue, "missing_stages", claim_the_first)
    run_by(toy_folder, reporter=recorder)
    assert recorder.notes.count("waiting for stages that other processes train") == 1


def test_a_request_to_stop_ends_the_jobs_and_says_so(toy_folder, monkeypatch):
    jobs, asked = [], []

    class Endless(Ended):
        def poll(self):
            asked.append(True)
            return 143 if self.terminated else None

    class Waiting(Here):
        def submit(self, tasks):
            jobs.extend(Endless(0) for _ in tasks)
            return jobs

    monkeypatch.setattr(task_queue, "stop_requested", lambda: len(asked) > 3)

    def refuse(after):
        raise Interrupted(after, 2)

    monkeypatch.setattr(task_queue, "refuse_to_go_on", refuse)
    with pytest.raises(Interrupted) as stopped:
        run_in(toy_folder, executor=part_of(Waiting()))
    assert stopped.value.at == "toy pretrain"
    assert [job.terminated for job in jobs] == [True]


def test_jobs_are_ended_when_the_wait_for_them_is(toy_folder, monkeypatch):
    job = Ended(0)

    def stop_at_once():
        raise KeyboardInterrupt

    class Waiting(Here):
        def submit(self, tasks):
            monkeypatch.setattr(job, "poll", stop_at_once)
            return [job]

    with pytest.raises(KeyboardInterrupt):
        run_in(toy_folder, executor=part_of(Waiting()))
    assert job.terminated
