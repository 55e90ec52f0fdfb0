from __future__ import annotations

import heapq
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from amrbench.data.feature_dataset import DatasetCache
from amrbench.data.worker_status import WorkerStatus
from amrbench.errors import RunError
from amrbench.experiment.run import run
from amrbench.training import stage_queue, stages
from amrbench.training.log import StageProgress
from amrbench.training.stage_group import run_group
from amrbench.training.stage_queue import expected_work, free_stages, longest_first, missing_stages
from amrbench.training.stage_store import claim_file
from amrbench.training.stages import run_stage
from tests.core.training.test_resume import files_of
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import (
    Recorder,
    changed,
    killed_once,
    plan,
    run_in,
    same_bits,
    settings_in,
    stages_in,
    train,
    write_yaml,
)


def test_shared_stages_are_missing_once_and_come_first(toy_sources, tmp_path):
    first, second = plan(toy_sources).chains
    assert [spec.name for spec in missing_stages([first, second], tmp_path, pytest.fail)] == [
        *("toy pretrain", "toy finetune, seed 0", "toy finetune, seed 1")
    ]
    train(first, tmp_path)
    assert [spec.name for spec in missing_stages([first, second], tmp_path, pytest.fail)] == [
        "toy finetune, seed 1"
    ]


def test_jobs_change_neither_keys_nor_bits(new_toy_folder):
    folder, other = new_toy_folder(), new_toy_folder()
    recorder = Recorder()
    one = run_in(folder)
    two = run(
        folder / "toy.yaml",
        folder / "tiny.yaml",
        registry=REGISTRY,
        settings=settings_in(other, jobs=2, out=other / "elsewhere"),
        reporter=recorder,
    )
    assert same_bits(folder, other)
    assert one.result.rows == two.result.rows
    assert sorted(recorder.epochs) == sorted(
        [("toy pretrain", n) for n in (1, 2, 3)]
        + [(f"toy finetune, seed {seed}", n) for seed in (0, 1) for n in (1, 2, 3, 4)]
    ), "epochs of the workers are reported here"
    assert recorder.ended == {"toy pretrain", "toy finetune, seed 0", "toy finetune, seed 1"}
    assert all(progress.text(4) for _, progress in recorder.steps)


def test_finished_stages_are_kept_when_a_worker_is_killed(toy_folder):
    write_yaml(toy_folder / "toy.yaml", killed_once(toy_folder, after=10))
    with pytest.raises(
        RunError, match=r"a worker process that trains was killed with SIGKILL at toy finetune, seed \d, "
    ):
        run_in(toy_folder, jobs=2)
    (pretrained,) = stages_in(toy_folder)
    done = toy_folder / "cache" / "stages" / pretrained / "done.json"
    time = done.stat().st_mtime_ns
    run_in(toy_folder)
    assert done.stat().st_mtime_ns == time


class OneThread(ThreadPoolExecutor):
    """In place of worker processes, which take seconds to start: a thread that does task after task."""

    def statuses(self):
        return [WorkerStatus("toy finetune, seed 1", "step", 1, 2, 3)]


@contextmanager
def one_thread(jobs, doing):
    with OneThread(1) as pool:
        yield pool


def test_a_failure_is_reported_at_once_and_other_stages_are_finished(toy_folder, monkeypatch):
    monkeypatch.setattr(stage_queue, "worker_pool", one_thread)
    marker = toy_folder / "once"
    marker.touch()
    failing = {"use": "failing", "kind": "nan", "at": str(marker), "after": 10}  # After pretraining.
    write_yaml(toy_folder / "toy.yaml", changed(RECIPE, training__losses=["frames", "spans", failing]))
    recorder = Recorder()
    with pytest.raises(RunError, match="seed 0, epoch 4, .* 'failing' is not finite") as error:
        run_in(toy_folder, jobs=2, reporter=recorder)
    last = "Other stages that are trained at the moment are finished first."
    assert recorder.notes[-1] == f"{error.value} {last}"
    assert len(stages_in(toy_folder)) == 2, "pretraining and the other seed"
    assert recorder.steps[-1] == ("toy finetune, seed 1", StageProgress(1, 2, 3))
    run_in(toy_folder)
    assert len(stages_in(toy_folder)) == 3


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


def test_no_stage_waits_in_the_pool(toy_folder, monkeypatch):
    """It could not be overtaken by a stage with a longer chain that gets ready later."""
    futures, unfinished = [], []

    class Watched(OneThread):
        def submit(self, *task):
            unfinished.append(sum(not future.done() for future in futures))
            futures.append(super().submit(*task))
            return futures[-1]

    @contextmanager
    def watched(jobs, doing):
        with Watched(1) as pool:
            yield pool

    monkeypatch.setattr(stage_queue, "worker_pool", watched)
    run_in(toy_folder, jobs=2, seeds=5)
    assert len(futures) == 6
    assert max(unfinished) == 1, "two processes are busy after each start"
    assert len(stages_in(toy_folder)) == 6


# ---------------------------------------------------------------- several processes with one store


def claim_elsewhere(spec, store):
    """Claim a stage as a process of another host."""
    store.mkdir(parents=True, exist_ok=True)
    claim_file(spec, store).write_text('{"host": "another-host", "process": 7}')


def test_a_process_takes_the_stages_that_nobody_has(toy_sources, tmp_path):
    first, second, third = plan(toy_sources, protocol=PROTOCOL | {"chains": "own", "seeds": 3}).chains
    missing = missing_stages([first, second, third], tmp_path, pytest.fail)
    assert free_stages(missing, tmp_path) == [first.parent, second.parent, third.parent]
    claim_elsewhere(first.parent, tmp_path)
    assert free_stages(missing, tmp_path) == [second.parent, third.parent]
    train(second.parent, tmp_path)
    left = missing_stages([first, second, third], tmp_path, pytest.fail)
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
    listed = stage_queue.missing_stages

    def claim_the_first(chains, store, note):
        specs.extend(listed(chains, store, note))
        claim_elsewhere(specs[0], store)
        return list(specs)

    monkeypatch.setattr(stage_queue, "missing_stages", claim_the_first)
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
