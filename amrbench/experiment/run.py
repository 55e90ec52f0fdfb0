"""From recipes and a protocol to finished runs.

A run leaves `<out>/<recipe>@<protocol>-<hash8>/`: `recipe.yaml` and `protocol.yaml` as given,
`annotations.<split>.jsonl`, `predictions/<model>.<split>.jsonl`, `saliency/<first seed>.<split>.jsonl`,
weights of soups, `logs/<stage>.jsonl`, `result.json`, and last the checksums of all these files. If the run
is finished already, nothing is trained and nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from amrbench.config.load import Method, find, load_protocol
from amrbench.config.recipe import MOST_SEEDS
from amrbench.config.study import Runnable, expand
from amrbench.data.cut_notes import note_cut_split
from amrbench.data.feature_dataset import DatasetCache
from amrbench.data.feature_source import FeatureSource
from amrbench.data.prepare import prepare
from amrbench.data.required_splits import refuse_missing_files
from amrbench.data.usable_splits import (
    KnownSplit,
    annotated_splits,
    note_left_out,
    refuse_missing_recordings,
    refuse_unusable,
)
from amrbench.errors import RunError
from amrbench.evaluation.baselines import weak_rows
from amrbench.evaluation.compare import Comparison, compare
from amrbench.evaluation.result import Result, read_result, write_result
from amrbench.experiment.observation import observing
from amrbench.experiment.plan import (
    PlannedRun,
    RunRequest,
    compared_methods,
    distinct_splits,
    plan_run,
    refuse_shared_names,
)
from amrbench.experiment.predictions import PredictionWriter, scored_rows
from amrbench.experiment.provenance import replaced_options, result_of
from amrbench.experiment.running import running
from amrbench.experiment.stage_logs import copy_logs
from amrbench.experiment.stage_task import TaskWriter
from amrbench.files.atomic import remove_leftovers_below, write_bytes_atomic
from amrbench.files.checksums import has_checksums, set_aside_changed
from amrbench.files.claim import exclusive
from amrbench.files.folders import OTHER_CACHE, RUNS, cache_folder
from amrbench.files.writable_folder import refuse_unwritable
from amrbench.notes import note
from amrbench.registry import Registry
from amrbench.slots.executors import DEFAULT, ExecutorPart
from amrbench.slots.observers import ObserverPart
from amrbench.training.device import refuse_device
from amrbench.training.memory_room import AnyRoom, MemoryRoom
from amrbench.training.noise_step import step_on_noise
from amrbench.training.progress_bars import NULL_REPORTER, Reporter
from amrbench.training.stage_queue import missing_stages, train_here, train_with
from amrbench.training.stage_spec import distinct_stages
from amrbench.training.store_layout import store_of

FEW = 3
"""Recipes that are tried on noise without a word."""
RECIPE, PROTOCOL = "recipe.yaml", "protocol.yaml"
"""Files in the folder of a run."""


@dataclass(frozen=True)
class Settings:
    """How a run is carried out. None of this is a property of the method.

    Attributes:
        seeds: Number of fine-tunes, instead of the protocol's.
        device: "cpu", "cuda" or "cuda:N".
        jobs: Number of processes at the same time. None uses all cores (training: cores divided by the
            protocol's threads, as far as memory allows, and one process on a GPU).
        out: Folder of the runs.
        cache: Folder of data and stages; None is the user's.
        executor: Where stages are trained; None is the part `local` of the registry.
        without: Plugins that are left out there, as here.
        observers: What sees the runs from their beginning to their end, such as trackers.
    """

    seeds: int | None = None
    device: str = "cpu"
    jobs: int | None = None
    out: Path = RUNS
    cache: Path | None = None
    executor: ExecutorPart | None = None
    without: tuple[str, ...] = ()
    observers: tuple[ObserverPart, ...] = ()

    @property
    def cache_folder(self) -> Path:
        """Return the cache folder."""
        return self.cache or cache_folder()


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: Of the run.
        result: All that it says about itself.
        against: The runs that the protocol compares it with.
    """

    folder: Path
    result: Result
    against: tuple[Run, ...] = ()

    @property
    def all_results(self) -> list[Result]:
        """Return the results of this run and of those it is compared with, for one table."""
        return [self.result, *(run.result for run in self.against)]


def run(
    recipe: str | Path,
    protocol: str | Path = "synthetic",
    *,
    registry: Registry,
    settings: Settings = Settings(),
    reporter: Reporter = NULL_REPORTER,
) -> Run:
    """Run a recipe and the recipes that the protocol compares it with.

    For a study, the run of its base is returned, with all others in `against`.

    Args:
        recipe: A file, or the name of a shipped recipe or study.
        protocol: A file, or the name of a shipped protocol.
        registry: The parts that they may name.
        settings: How it is carried out.
        reporter: Receives what happens.

    Raises:
        RecipeError: A file is wrong or missing.
        DataError: Data is wrong or missing.
        RunError: Training failed, or the recipe cannot be run under the protocol.
    """
    first, *others = run_all([recipe], protocol, registry=registry, settings=settings, reporter=reporter)
    return replace(first, against=(*others, *first.against))


def run_all(
    recipes: Sequence[Runnable],
    protocol: str | Path,
    *,
    registry: Registry,
    settings: Settings,
    reporter: Reporter = NULL_REPORTER,
) -> list[Run]:
    """Run several recipes; their stages are trained at the same time. See `run`.

    A study counts as its recipes (`Study.methods`): the list has a run for each of them, in their order.
    """
    with observing(settings.observers, reporter) as observation:
        runner = Runner(registry, settings, observation)
        methods = runner.methods(recipes)
        requests = runner.requests(methods, protocol)
        runner.refuse_before_features(requests)
        runner.refuse_unwritable_runs(requests)
        with running(settings.cache_folder, settings.out):
            sources = runner.prepare(requests)
            planned = [plan_run(request, sources) for request in requests]
            observation.begin(planned, settings.out)
            runner.train(planned)
            # The requested recipes are finished last, because `amrbench predict` uses the newest run.
            finished = []
            for plan in [*planned[len(methods) :], *planned[: len(methods)]]:
                finished.append(runner.finish(plan))
                observation.finish(finished[-1].folder, finished[-1].result)
    others = len(planned) - len(methods)
    return [replace(requested, against=tuple(finished[:others])) for requested in finished[others:]]


def compare_with_baseline(runs: Sequence[Run]) -> list[Comparison]:
    """Return the comparison of runs with the first recipe in `against` of the protocol, or else of a recipe.

    Empty if there is nothing to compare with, or nothing is scored.
    """
    every = {run.folder: run for run in (*runs, *runs[0].against)}
    if len(every) == 1 or not all(run.result.scored for run in every.values()):
        return []
    first = list(runs[0].result.protocol.options["against"])[:1]
    baselines = [folder for folder, run in every.items() if run.result.recipe.name in first]
    baselines += [run.folder for run in runs[0].against]
    return [compare(list(every), against=baselines[0])] if baselines else []


class Runner:
    """Carries out requests with some settings."""

    def __init__(self, registry: Registry, settings: Settings, reporter: Reporter) -> None:
        self.registry = registry
        self.settings = settings
        self.reporter = reporter
        self._intact: dict[Path, bool] = {}
        self.datasets = DatasetCache()  # Shared by training with one job and by scoring.
        refuse_device(settings.device)

    def methods(self, recipes: Sequence[Runnable]) -> list[Method]:
        """Return the recipes, and those of studies."""
        return [method for runnable in recipes for method in expand(runnable, self.registry).methods]

    def requests(self, methods: Sequence[Method], protocol: str | Path) -> list[RunRequest]:
        """Return a request for each recipe, and then for those that are run as well."""
        file = find("protocol", protocol)
        conditions, text = load_protocol(file, self.registry), file.read_bytes()
        if (seeds := self.settings.seeds) is not None:
            if not 1 <= seeds <= MOST_SEEDS:
                raise RunError(f"{seeds} seeds cannot be run. Give a number from 1 to {MOST_SEEDS}.")
            conditions = conditions.model_copy(update={"seeds": seeds})
        shared = (conditions, file, self.registry, self.settings.device, text)
        requests = [RunRequest(method, *shared) for method in methods]
        for method in compared_methods(methods, conditions, file, self.registry):
            other = RunRequest(method, *shared)
            if all(other.resolved != request.resolved for request in requests):
                requests.append(other)
        refuse_shared_names(requests)
        return requests

    def prepare(self, requests: Sequence[RunRequest]) -> dict[str, FeatureSource]:
        """Return all splits that the requests need, by `FeatureRequest.key`."""
        splits = distinct_splits(requests)
        made = prepare(
            list(splits.values()),
            cache=self.settings.cache_folder,
            jobs=self.settings.jobs or _cores(),
            report=self.reporter.data,
        )
        sources = dict(zip(splits, made, strict=True))
        self.refuse_with_features(requests, sources, {})
        return sources

    def refuse_before_features(self, requests: Sequence[RunRequest]) -> dict[str, KnownSplit]:
        """Refuse missing files, recipes that fail and unusable annotations; return the annotated splits."""
        splits = list(distinct_splits(requests).values())
        refuse_missing_files(splits)
        untried = [request for request in requests if not self._has_finished(request)]
        if len(untried) > FEW:
            self.reporter.note(f"trying {len(untried)} recipes on noise")
        for request in untried:
            step_on_noise(request.splits)
        annotated = annotated_splits(splits)
        refuse_missing_recordings(annotated.values())
        for request in requests:
            refuse_unusable(request.splits, annotated)
        return annotated

    def refuse_unwritable_runs(self, requests: Sequence[RunRequest]) -> None:
        """Refuse a folder of runs that cannot be written to, unless nothing has to be."""
        if not all(map(self._has_finished, requests)):
            refuse_unwritable(self.settings.out, "the runs", "name another folder with --out")

    def refuse_with_features(
        self,
        requests: Sequence[RunRequest],
        sources: Mapping[str, FeatureSource],
        others: Mapping[str, KnownSplit],
    ) -> None:
        """Refuse unusable splits, and issue notes about what is left out or cut.

        Args:
            requests: The recipes and the protocol.
            sources: Splits with features, by `FeatureRequest.key`.
            others: Splits without features.
        """
        for request in requests:
            splits = {split.key: split for split in request.splits.all}
            own = {
                key: KnownSplit.of_source(split, sources[key])
                for key, split in splits.items()
                if key in sources
            }
            refuse_unusable(request.splits, {**others, **own})
            note_left_out(request.splits, own)
            for key in own:
                note_cut_split(splits[key].location, sources[key], request.resolved.limits)

    def unfinished(self, planned: Sequence[PlannedRun]) -> list[PlannedRun]:
        """Return the runs that are not finished."""
        return [plan for plan in planned if not self.is_finished(plan)]

    def train(self, planned: Sequence[PlannedRun]) -> None:
        """Train the missing stages of runs that are not finished."""
        for plan in (unfinished := self.unfinished(planned)):
            plan.report.verify()  # It is loaded after the training.
            if replaced := replaced_options(plan.request):
                names = f"{plan.request.recipe.name}: the protocol {plan.request.protocol.name}"
                self.reporter.note(f"{names} replaces {'; '.join(replaced)}")
        if not unfinished:
            return
        settings, store = self.settings, store_of(self.settings.cache_folder)
        refuse_unwritable(store, "trained stages", OTHER_CACHE)
        chains = [spec for plan in unfinished for spec in plan.chains]
        missing = missing_stages(chains, store)
        if not missing:
            return
        here = settings.executor is None or settings.executor.on_this_machine
        jobs = min(self.jobs(unfinished[0].request.protocol.threads), len(missing)) if here else settings.jobs
        if here and jobs == 1:
            train_here(missing, store, self.reporter, self.datasets)
            return
        train_with(
            self.executor().build(jobs),
            missing,
            store,
            task_of=TaskWriter(unfinished, cache=settings.cache_folder, without=settings.without),
            room=MemoryRoom(distinct_stages(chains), store) if here and settings.jobs is None else AnyRoom(),
            reporter=self.reporter,
        )

    def executor(self) -> ExecutorPart:
        """Return the executor of the settings, or else that of this machine; RunError if there is none."""
        if self.settings.executor:
            return self.settings.executor
        if DEFAULT not in self.registry.names(ExecutorPart.slot):
            raise RunError(
                f"no plugin offers the executor {DEFAULT!r}, which trains several stages at the same time. "
                "Give --jobs 1, or do not leave out the plugin executors of amrbench."
            )
        return cast("ExecutorPart", self.registry.find(ExecutorPart.slot, DEFAULT)())

    def finish(self, planned: PlannedRun) -> Run:
        """Write the files of a run whose stages are trained, and return it."""
        folder, name = planned.folder(self.settings.out), planned.request.recipe.name
        if not self.is_finished(planned):

            def report_waiting(holder: str) -> None:
                self.reporter.note(f"{name}: waiting for process {holder}, which scores it")

            with exclusive(folder.with_name(f".{folder.name}.claim"), report_waiting):
                # Another process may have scored it while this one trained or waited.
                if not self._checked(folder):
                    self._write(planned, folder)
            self._intact[folder] = True
        result = read_result(folder)
        if text := weak_rows(result.rows, planned.request.recipe.training.select[0]):
            note(f"{result.recipe.name} under {result.protocol.name}: {text}")
        return Run(folder, result)

    def _write(self, planned: PlannedRun, folder: Path) -> None:
        """Predict and score, and write all files of a run."""
        request, store = planned.request, store_of(self.settings.cache_folder)
        self.reporter.note(f"{request.recipe.name}: scoring")
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers_below(folder)
        write_bytes_atomic(folder / RECIPE, request.method.text)
        write_bytes_atomic(folder / PROTOCOL, request.protocol_text)
        writer = PredictionWriter(planned, folder, store, self.datasets, self.reporter)
        rows = scored_rows(writer.write_all(), folder, writer.truth, request.protocol.slices)
        copy_logs(planned.stages, store, folder)
        write_result(folder, result_of(planned, store, rows, writer.truth))

    def is_finished(self, planned: PlannedRun) -> bool:
        """Whether a run is finished and as it was written; one that is not is set aside."""
        folder = planned.folder(self.settings.out)
        if folder not in self._intact:
            self._intact[folder] = self._checked(folder)
        return self._intact[folder]

    def _checked(self, folder: Path) -> bool:
        if has_checksums(folder) and (changed := set_aside_changed(folder)):
            note(f"the run {folder} is made again: {changed}")
        return has_checksums(folder)

    def _has_finished(self, request: RunRequest) -> bool:
        """Whether this recipe has finished under this protocol before, on whatever data."""
        texts = {RECIPE: request.method.text, PROTOCOL: request.protocol_text}
        pattern = f"{request.recipe.name}@{request.protocol.name}-*"
        return any(
            all(_has_bytes(folder / name, text) for name, text in texts.items())
            for folder in self.settings.out.glob(pattern)
            if has_checksums(folder)
        )

    def jobs(self, threads: int) -> int:
        """Return the number of processes that train at the same time."""
        if self.settings.jobs is not None:
            return self.settings.jobs
        if not self.settings.device.startswith("cpu"):
            return 1
        return max(1, _cores() // threads)


def _has_bytes(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
