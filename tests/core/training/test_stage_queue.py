from __future__ import annotations

import heapq
import shutil
from dataclasses import dataclass

import pytest

from amrbench.data.feature_dataset import DatasetCache
from amrbench.errors import RunError
from amrbench.experiment import run as experiment
from amrbench.interrupts import Interrupted
from amrbench.notes import collected_notes
from amrbench.slots.executors import Task
from amrbench.training import stage_queue, stages
from amrbench.training.memory_room import AnyRoom
from amrbench.training.stage_group import run_group
from amrbench.training.stage_queue import (
    MOST_STARTS,
    expected_work,
    free_stages,
    longest_first,
    missing_stages,
    train_with,
)
from amrbench.training.stage_store import claim_file
from amrbench.training.stages import run_stage
from amrbench.training.task_report import TaskReport
from tests.core.training.test_resume import files_of
from tests.small_world.executors import Ended, Here, part_of, train_here
from tests.small_world.parts import PROTOCOL, RECIPE
from tests.small_world.runs import (
    Recorder,
    changed,
    killed_once,
    plan,
    run_in,
    same_bits,
    stages_in,
    train,
    write_yaml,
)


def test_shared_stages_are_missing_once_and_come_first(toy_sources, tmp_path):
    first, second = plan(toy_sources).chains
    assert [spec.name for spec in missing_stages([first, second], tmp_path)] == [
        *("toy pretrain", "toy finetune, seed 0", "toy finetune, seed 1")
    ]
    train(first, tmp_path)
    assert [spec.name for spec in missing_stages([first, second], tmp_path)] == ["toy finetune, seed 1"]


# ---------------------------------------------------------------- with the executor of this machine


def test_workers_change_neither_keys_nor_bits_and_need_no_plugin_for_the_parts_of_a_caller(new_toy_folder):
    folder, other, recorder = new_toy_folder(), new_toy_folder(), Recorder()
    assert run_in(folder).result.rows == run_in(other, jobs=2, reporter=recorder).result.rows
    assert same_bits(folder, other)
    assert len(recorder.epochs) == 3 + 2 * 4, "epochs of the workers are reported here"
    assert {"toy pretrain", "toy finetune, seed 0", "toy finetune, seed 1"} == recorder.ended
    assert all(progress.text(4) for _, progress in recorder.steps)


def test_a_process_that_is_killed_ends_no_other_and_is_replaced(toy_folder):
    write_yaml(toy_folder / "toy.yaml", killed_once(toy_folder, after=10))  # After pretraining.
    recorder = Recorder()
    done = run_in(toy_folder, jobs=2, reporter=recorder)
    assert not (toy_folder / "kill").exists()
    (lost,) = [text for text in recorder.notes if "again" in text]
    assert lost.startswith("toy finetune, seed ")
    assert ": its process was killed with SIGKILL at epoch 4, after step " in lost
    assert lost.endswith(" of 3; it is started again")
    assert len(done.result.rows) > 0
    assert list((toy_folder / "cache" / "tasks").iterdir()) == []


# ---------------------------------------------------------------- the queue


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(stage_queue, "POLL_SECONDS", 0.01)


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
    """One that waits could not be overtaken by a stage with a longer chain that gets ready later."""
    executor, _ = run_by(toy_folder, at_once=1)
    assert [len(wave) for wave in executor.waves] == [1, 1, 1]


def test_a_stage_waits_for_memory_and_one_always_runs(toy_sources, tmp_path):
    class Little(AnyRoom):
        def why_not(self, spec, running):
            return f"{spec.name} waits" if running else ""

    chains, store, recorder = (
        plan(toy_sources, protocol=PROTOCOL | {"seeds": 3}).chains,
        tmp_path / "stages",
        Recorder(),
    )
    executor = Here(lambda task: train(task.run, store) and 0, at_once=3)
    train_with(
        executor,
        missing_stages(chains, store),
        store,
        task_of=lambda spec: Task(spec.name, tmp_path / f"{spec.key}.json", "cpu", 1, spec),
        room=Little(),
        reporter=recorder,
    )
    assert [len(wave) for wave in executor.waves] == [1, 1, 1, 1]
    assert recorder.notes == ["toy finetune, seed 1 waits"], "once"


@pytest.mark.parametrize("kind", ["memory", "gpu memory"])
def test_a_stage_without_memory_ends_no_other(toy_folder, kind):
    once = toy_folder / "once"
    once.touch()
    failing = {"use": "failing", "kind": kind, "after": 9, "at": str(once)}
    write_yaml(toy_folder / "toy.yaml", changed(RECIPE, training__losses=["frames", "spans", failing]))
    recorder = Recorder()
    with pytest.raises(
        RunError, match=r"^toy finetune, seed 0, epoch 4, step 1 of 3: out of memory: .* --jobs"
    ):
        run_by(toy_folder, reporter=recorder)
    assert len(stages_in(toy_folder)) == 2, "the stage before and the other seed"
    assert ("toy finetune, seed 1", 4) in recorder.epochs
    assert len(run_by(toy_folder)[1].result.rows) > 0, "the same command goes on with what is missing"


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
    again = "seed 1: its process was killed with SIGKILL before the stage began; it is started again"
    assert f"toy finetune, {again}" in recorder.notes
    assert len(stages_in(toy_folder)) == 3


def test_a_task_that_is_lost_again_and_again_ends_no_other(toy_folder):
    def lose_seed_0(task):
        return -9 if "seed 0" in task.name else train_here(task)

    message = (
        "toy finetune, seed 0: its process was killed with SIGKILL before the stage began, 3 times. The "
        "system does so if memory is short, and batch systems do at their limits. What is finished is kept: "
        "give the same command again, with a smaller --jobs, or with more memory or time for a job."
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


def test_stages_that_others_train_are_waited_for(toy_folder, monkeypatch):
    claims = []

    def claim_the_first(chains, store):
        missing = missing_stages(chains, store)
        claim_elsewhere(missing[0], store)
        claims.append(claim_file(missing[0], store))
        return missing

    class OtherEnds(Recorder):
        def note(self, text):
            super().note(text)
            for claim in claims:
                claim.unlink(missing_ok=True)

    recorder = OtherEnds()
    monkeypatch.setattr(experiment, "missing_stages", claim_the_first)
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

    monkeypatch.setattr(stage_queue, "stop_requested", lambda: len(asked) > 3)

    def refuse(after):
        raise Interrupted(after, 2)

    monkeypatch.setattr(stage_queue, "refuse_to_go_on", refuse)
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


# ---------------------------------------------------------------- Order


@dataclass(frozen=True)
class Stage:
    """A stage with a made-up duration."""

    key: str
    seconds: float
    parent: Stage | None = None


def makespan(stages: list[Stage], jobs: int) -> tuple[list[str], float]:
    """Return the order in which stages start, and the time until the last ends.

    A free process takes the first stage of the list whose parent is finished, as in the queue.
    """
    waiting, finished, running, now, order = list(stages), set(), [], 0.0, []
    while waiting or running:
        ready = [one for one in waiting if not one.parent or one.parent.key in finished]
        for one in ready[: jobs - len(running)]:
            waiting.remove(one)
            order.append(one.key)
            heapq.heappush(running, (now + one.seconds, one.key))
        now, key = heapq.heappop(running)
        finished.add(key)
    return order, now


def seconds(stage: Stage) -> float:
    return stage.seconds


def test_a_long_chain_is_started_first_and_not_left_for_the_end():
    long = Stage("long", 9)
    stages = [*[Stage(f"short {seed}", 3) for seed in range(6)], long]
    stages += [Stage(f"tune {seed}", 3, long) for seed in range(2)]
    order, took = makespan(longest_first(stages, seconds), jobs=2)
    assert order[:2] == ["long", "short 0"]
    work = sum(map(seconds, stages))
    assert work / 2 <= took == 18 < makespan(stages, jobs=2)[1] == 21


def test_a_stage_counts_with_all_that_starts_from_it():
    root = Stage("root", 1)
    middle = Stage("middle", 1, root)
    chain = [Stage("alone", 5), root, middle, Stage("leaf", 4, middle), Stage("other", 2, root)]
    assert [one.key for one in longest_first(chain, seconds)] == ["root", "alone", "middle", "leaf", "other"]


def test_stages_of_equal_length_keep_their_order_and_a_finished_parent_counts_nothing():
    finished = Stage("finished", 100)
    stages = [Stage("b", 1, finished), Stage("a", 1), Stage("c", 1, finished)]
    assert [one.key for one in longest_first(stages, seconds)] == ["b", "a", "c"]


def test_the_work_of_a_stage_is_its_epochs_times_its_rows(toy_sources):
    last = plan(toy_sources).chains[0]
    (source,) = last.train
    rows = sum(min(query.duration / source.hop, last.recipe.limits.frames) for query in source.queries)
    assert rows > 0
    assert expected_work(last) == last.stage.epochs * rows


# ---------------------------------------------------------------- several processes with one store


def claim_elsewhere(spec, store):
    """Claim a stage as a process of another host."""
    store.mkdir(parents=True, exist_ok=True)
    claim_file(spec, store).write_text('{"host": "another-host", "process": 7}')


def test_a_process_takes_the_stages_that_nobody_has(toy_sources, tmp_path):
    first, second, third = plan(toy_sources, protocol=PROTOCOL | {"chains": "own", "seeds": 3}).chains
    missing = missing_stages([first, second, third], tmp_path)
    assert free_stages(missing, tmp_path) == [first.parent, second.parent, third.parent]
    claim_elsewhere(first.parent, tmp_path)
    assert free_stages(missing, tmp_path) == [second.parent, third.parent]
    train(second.parent, tmp_path)
    left = missing_stages([first, second, third], tmp_path)
    assert free_stages(left, tmp_path) == [second, third.parent]


def test_what_another_process_trains_is_waited_for_at_the_end(toy_folder, monkeypatch):
    seen = []

    def as_recorded(spec, store, *others):
        seen.append(spec.name)
        claim_file(spec, store).unlink(missing_ok=True)  # The other process ends.
        return run_group(spec, store, *others)

    monkeypatch.setattr(stage_queue, "run_group", as_recorded)
    write_yaml(toy_folder / "tiny.yaml", PROTOCOL | {"chains": "own"})
    specs = []

    def claim_the_first(chains, store):
        specs.extend(missing_stages(chains, store))
        claim_elsewhere(specs[0], store)
        return list(specs)

    monkeypatch.setattr(experiment, "missing_stages", claim_the_first)
    run_in(toy_folder)
    assert seen == ["toy pretrain, seed 1", "toy finetune, seed 1", "toy pretrain", "toy finetune, seed 0"]


def test_a_process_that_lost_its_claim_leaves_the_stage_to_the_other(toy_sources, tmp_path, monkeypatch):
    spec = plan(toy_sources).chains[0].parent
    other = train(spec, tmp_path / "other")
    write = stages.StageKeeper.write

    def overtaken(keeper, **options):
        claim_elsewhere(spec, tmp_path)
        shutil.copytree(other, tmp_path / spec.key)
        claim_file(spec, tmp_path).unlink()
        shutil.rmtree(keeper.folder)
        write(keeper, **options)

    monkeypatch.setattr(stages.StageKeeper, "write", overtaken)
    recorder = Recorder()
    folder = run_stage(spec, tmp_path, recorder, DatasetCache())
    assert files_of(folder) == files_of(other)
    assert recorder.notes == ["toy pretrain: another process took it over while this one was stopped"]
