"""From recipes and a protocol to finished runs.

A run leaves `<out>/<recipe>@<protocol>-<hash8>/`: `recipe.yaml` and `protocol.yaml` as given,
`annotations.<split>.jsonl`, `predictions/<model>.<split>.jsonl`, weights of soups, and `result.json`,
which is written last. If the run is finished already, nothing is trained and nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from amrbench.config.load import Method, find, find_near, load_protocol
from amrbench.config.study import Runnable, expand
from amrbench.data.feature_dataset import DatasetCache
from amrbench.data.feature_source import FeatureSource
from amrbench.data.prepare import prepare
from amrbench.errors import DataError, RunError, did_you_mean
from amrbench.evaluation.compare import Comparison, compare
from amrbench.evaluation.result import RESULT, Result, read_result, write_result
from amrbench.experiment.plan import PlannedRun, RunRequest, distinct_splits, plan_run
from amrbench.experiment.predictions import PredictionWriter, scored_rows
from amrbench.experiment.provenance import replaced_options, result_of
from amrbench.files.folders import cache_folder
from amrbench.registry import Registry
from amrbench.training.progress_bars import NULL_REPORTER, Reporter
from amrbench.training.stage_queue import train_all
from amrbench.training.stages import store_of


@dataclass(frozen=True)
class Settings:
    """How a run is carried out. None of this is a property of the method.

    Attributes:
        seeds: Number of fine-tunes, instead of the protocol's.
        device: "cpu", "cuda" or "cuda:N".
        jobs: Number of processes at the same time. None uses all cores (training: cores divided by the
            protocol's threads, one process on a GPU).
        out: Folder of the runs.
        cache: Folder of data and stages; None is the user's.
    """

    seeds: int | None = None
    device: str = "cpu"
    jobs: int | None = None
    out: Path = Path("runs")
    cache: Path | None = None

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
    runner = Runner(registry, settings, reporter)
    methods = runner.methods(recipes)
    requests = runner.requests(methods, protocol)
    sources = runner.prepare(requests)
    planned = [plan_run(request, sources) for request in requests]
    runner.train(planned)
    own, others = planned[: len(methods)], planned[len(methods) :]
    # The requested recipes are finished last, because `amrbench predict` uses the newest run.
    against = tuple(runner.finish(other) for other in others)
    return [replace(runner.finish(requested), against=against) for requested in own]


def compare_with_baseline(runs: Sequence[Run]) -> list[Comparison]:
    """Return the comparison of runs with the first recipe in `against`; empty if nothing is scored."""
    others = runs[0].against
    if not others or not all(result.scored for run in runs for result in run.all_results):
        return []
    folders = dict.fromkeys([run.folder for run in runs] + [run.folder for run in others])
    return [compare(list(folders), against=others[0].folder)]


class Runner:
    """Carries out requests with some settings."""

    def __init__(self, registry: Registry, settings: Settings, reporter: Reporter) -> None:
        self.registry = registry
        self.settings = settings
        self.reporter = reporter
        self.datasets = DatasetCache()  # Shared by training with one job and by scoring.
        _refuse_device(settings.device)

    def methods(self, recipes: Sequence[Runnable]) -> list[Method]:
        """Return the recipes, and those of studies."""
        return [method for runnable in recipes for method in expand(runnable, self.registry).methods]

    def requests(self, methods: Sequence[Method], protocol: str | Path) -> list[RunRequest]:
        """Return a request for each recipe, and then for those that the protocol compares them with."""
        file = find("protocol", protocol)
        conditions = load_protocol(file, self.registry)
        if self.settings.seeds is not None:
            conditions = conditions.model_copy(update={"seeds": self.settings.seeds})
        device = self.settings.device
        requests = [RunRequest(method, conditions, file, self.registry, device) for method in methods]
        for name in conditions.against:
            for method in expand(find_near("recipe", name, file), self.registry).methods:
                other = RunRequest(method, conditions, file, self.registry, device)
                if all(other.resolved != request.resolved for request in requests):
                    requests.append(other)
        return requests

    def prepare(self, requests: Sequence[RunRequest]) -> dict[str, FeatureSource]:
        """Return all splits that the requests need, by `FeatureRequest.key`."""
        splits = distinct_splits(requests)
        sources = prepare(
            list(splits.values()),
            cache=self.settings.cache_folder,
            jobs=self.settings.jobs or _cores(),
            report=self.reporter.data,
        )
        return dict(zip(splits, sources, strict=True))

    def train(self, planned: Sequence[PlannedRun]) -> None:
        """Train the missing stages of runs that are not finished."""
        unfinished = [plan for plan in planned if not self.is_finished(plan)]
        for plan in unfinished:
            _refuse_unknown_slices(plan)
            if replaced := replaced_options(plan.request):
                names = f"{plan.request.recipe.name}: the protocol {plan.request.protocol.name}"
                self.reporter.note(f"{names} replaces {'; '.join(replaced)}")
        if unfinished:
            train_all(
                [spec for plan in unfinished for spec in plan.chains],
                store_of(self.settings.cache_folder),
                jobs=self.jobs(unfinished[0].request.protocol.threads),
                reporter=self.reporter,
                datasets=self.datasets,
            )

    def finish(self, planned: PlannedRun) -> Run:
        """Write the files of a run whose stages are trained, and return it."""
        folder = planned.folder(self.settings.out)
        if not self.is_finished(planned):
            request, store = planned.request, store_of(self.settings.cache_folder)
            self.reporter.note(f"{request.recipe.name}: scoring")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "recipe.yaml").write_bytes(request.method.text)
            (folder / "protocol.yaml").write_bytes(request.protocol_file.read_bytes())
            writer = PredictionWriter(planned, folder, store, self.datasets)
            rows = scored_rows(writer.write_all(), folder, writer.truth, request.protocol.slices)
            write_result(folder, result_of(planned, store, rows, writer.truth))
        return Run(folder, read_result(folder))

    def is_finished(self, planned: PlannedRun) -> bool:
        """Whether a run is finished."""
        return (planned.folder(self.settings.out) / RESULT).is_file()

    def jobs(self, threads: int) -> int:
        """Return the number of processes that train at the same time."""
        if self.settings.jobs is not None:
            return self.settings.jobs
        if not self.settings.device.startswith("cpu"):
            return 1
        return max(1, _cores() // threads)


def _refuse_unknown_slices(planned: PlannedRun) -> None:
    known = {key for query in planned.report.queries for key in query.extra}
    for key in planned.request.protocol.slices:
        if key not in known:
            raise DataError(
                f"{planned.request.protocol_file}: 'slices' names {key!r}, but no query of "
                f"{planned.report.location} has this key.{did_you_mean(key, known)} "
                f"Keys: {', '.join(sorted(known)) or 'none'}."
            )


def _refuse_device(device: str) -> None:
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise RunError(f"torch knows no device {device!r}. Use cpu, cuda or cuda:N.") from None
    if kind not in ("cpu", "cuda"):
        raise RunError(f"the device {device!r} is not supported. Use cpu, cuda or cuda:N.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise RunError(f"device {device!r}: torch finds no CUDA device. Use --device cpu.")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
