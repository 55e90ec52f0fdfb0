"""From recipes and a protocol to finished runs.

A run leaves `<out>/<recipe>@<protocol>-<hash8>/`: `recipe.yaml` and `protocol.yaml` as given, `lock.json`,
`stages.json`, `annotations.<split>.jsonl`, `predictions/<member>.<split>.jsonl`, and `metrics.json`, which is
written last.
Asked for a run that is finished, nothing is trained and nothing is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from amrbench.config.library import find, find_near, load_protocol
from amrbench.config.protocol import Protocol
from amrbench.config.study import Method, Runnable, methods_of
from amrbench.data.prepare import prepare_all
from amrbench.errors import DataError, RunError, did_you_mean
from amrbench.files.paths import cache_folder
from amrbench.files.whole import write_whole
from amrbench.registry import Registry
from amrbench.results.comparison import Comparison, compare
from amrbench.results.results import FILE as METRICS
from amrbench.results.results import Results, read_results, write_results
from amrbench.running.costs import FILE as STAGES
from amrbench.running.costs import costs_of
from amrbench.running.forecast import Forecast, forecast, look_at
from amrbench.running.lock import FILE as LOCK
from amrbench.running.lock import changes, environment, lock_of
from amrbench.running.members import Members, rows_of
from amrbench.running.trial import Plan, Trial, name_of, try_out
from amrbench.sources import Source
from amrbench.training.progress import QUIET, Reporter
from amrbench.training.schedule import train_all
from amrbench.training.stages import store_of


@dataclass(frozen=True)
class Settings:
    """How a run is carried out. None of this is a property of the method.

    Attributes:
        seeds: Fine-tunes instead of the protocol's number.
        device: "cpu", "cuda" or "cuda:N".
        jobs: Processes side by side; None is one for each core (and each of the protocol's threads), and one
            for training on a GPU.
        out: Folder of the runs.
        cache: Folder of data and stages; None is the user's.
    """

    seeds: int | None = None
    device: str = "cpu"
    jobs: int | None = None
    out: Path = Path("runs")
    cache: Path | None = None

    @property
    def store(self) -> Path:
        """Return the cache folder."""
        return self.cache or cache_folder()


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: Where it lies.
        results: What it found.
        against: The runs that the protocol wants beside it.
    """

    folder: Path
    results: Results
    against: tuple[Run, ...] = ()

    @property
    def everything(self) -> list[Results]:
        """Return the results that stand in one table, its own first."""
        return [self.results, *(each.results for each in self.against)]


def run(
    recipe: str | Path,
    protocol: str | Path = "synthetic",
    *,
    registry: Registry,
    settings: Settings = Settings(),
    tell: Reporter = QUIET,
) -> Run:
    """Do everything that a recipe asks for, and the same for the recipes it is compared with.

    Of a study, the run of its base is returned, with all others beside it.

    Args:
        recipe: A file, or the name of a shipped recipe; a study is taken as well.
        protocol: A file, or the name of a shipped protocol.
        registry: The parts they may name.
        settings: How it is carried out.
        tell: Told what happens.

    Raises:
        RecipeError: A file is wrong or missing.
        DataError: Data is wrong or missing.
        RunError: Training failed, or the run makes no sense.
    """
    first, *others = run_all([recipe], protocol, registry=registry, settings=settings, tell=tell)
    return replace(first, against=(*others, *first.against))


def run_all(
    recipes: Sequence[Runnable],
    protocol: str | Path,
    *,
    registry: Registry,
    settings: Settings,
    tell: Reporter = QUIET,
) -> list[Run]:
    """Do the same as `run` for several recipes, their stages side by side.

    A study stands for its recipes (`Study.methods`): the list has a run for each of them, in their order.
    """
    bench = Bench(registry, settings, tell)
    methods = bench.methods(recipes)
    plans = bench.plans(methods, protocol)
    prepared = bench.prepare(plans)
    trials = [try_out(plan, prepared) for plan in plans]
    bench.train(trials)
    own, others = trials[: len(methods)], trials[len(methods) :]
    # Those that were asked for come last: the newest run is the one that `predict` takes.
    against = tuple(bench.finish(trial) for trial in others)
    return [replace(bench.finish(trial), against=against) for trial in own]


def compared(runs: Sequence[Run]) -> list[Comparison]:
    """Return how runs differ from the first one that the protocol wants beside them, if there are figures."""
    others = runs[0].against
    if not others or not all(each.scored for run in runs for each in run.everything):
        return []
    folders = dict.fromkeys([run.folder for run in runs] + [each.folder for each in others])
    return [compare(list(folders), against=others[0].folder)]


def dry_run(
    recipes: Sequence[Runnable], protocol: str | Path, *, registry: Registry, settings: Settings
) -> Forecast:
    """Return what `run_all` would do, find and take; nothing is trained or kept.

    Raises:
        RecipeError: A file is wrong or missing.
        DataError: Data is wrong or missing.
        RunError: The run makes no sense.
    """
    bench = Bench(registry, settings, QUIET)
    plans = bench.plans(bench.methods(recipes), protocol)
    splits = look_at([each for plan in plans for each in plan.demand.wanted], settings.store)
    prepared = {name: each.prepared for name, each in splits.items()}
    trials = [try_out(plan, prepared) for plan in plans]
    finished = [trial.folder(settings.out) for trial in trials if bench.is_finished(trial)]
    chains = [spec for trial in trials if not bench.is_finished(trial) for spec in trial.chains]
    jobs = bench.jobs(plans[0].protocol.threads)
    store = store_of(settings.store)
    return forecast(chains, splits, store, jobs=jobs, finished=[folder.name for folder in finished])


class Bench:
    """Carries out plans with some settings."""

    def __init__(self, registry: Registry, settings: Settings, tell: Reporter) -> None:
        self.registry = registry
        self.settings = settings
        self.tell = tell
        _refuse_device(settings.device)

    def methods(self, wanted: Sequence[Runnable]) -> list[Method]:
        """Return the recipes that are wanted; a study stands for all of its own."""
        return [method for each in wanted for method in methods_of(each, self.registry)]

    def plans(self, methods: Sequence[Method], protocol: str | Path) -> list[Plan]:
        """Return the plans of the recipes, and then of those that the protocol compares them with."""
        conditions = find("protocol", protocol)
        rules = load_protocol(conditions, self.registry)
        if self.settings.seeds is not None:
            rules = rules.model_copy(update={"seeds": self.settings.seeds})
        plans = [self._plan(each, rules, conditions) for each in methods]
        for name in rules.against:
            for each in methods_of(find_near("recipe", name, conditions), self.registry):
                other = self._plan(each, rules, conditions)
                if all(other.resolved != plan.resolved for plan in plans):
                    plans.append(other)
        return plans

    def prepare(self, plans: Sequence[Plan]) -> dict[str, Source]:
        """Return all splits that the plans want, by `name_of`."""
        wanted = {name_of(each): each for plan in plans for each in plan.demand.wanted}
        found = prepare_all(
            list(wanted.values()),
            cache=self.settings.store,
            jobs=self.settings.jobs or _cores(),
            tell=self.tell.data,
        )
        return dict(zip(wanted, found, strict=True))

    def train(self, trials: Sequence[Trial]) -> None:
        """Train what is missing for runs that are not finished."""
        missing = [trial for trial in trials if not self.is_finished(trial)]
        for trial in missing:
            _refuse_unknown_slices(trial)
            self._say(trial.plan)
        if missing:
            chains = [spec for trial in missing for spec in trial.chains]
            jobs = self.jobs(missing[0].plan.protocol.threads)
            train_all(chains, store_of(self.settings.store), jobs=jobs, tell=self.tell)

    def finish(self, trial: Trial) -> Run:
        """Return the run of a trial whose stages are trained."""
        folder = trial.folder(self.settings.out)
        if not self.is_finished(trial):
            self.tell.note(f"{trial.plan.recipe.name}: scoring")
            _write(trial, folder, store_of(self.settings.store))
        return Run(folder, read_results(folder))

    def jobs(self, threads: int) -> int:
        """Return the number of processes that train at once."""
        if self.settings.jobs is not None:
            return self.settings.jobs
        if not self.settings.device.startswith("cpu"):
            return 1
        return max(1, _cores() // threads)

    def _plan(self, method: Method, rules: Protocol, conditions: Path) -> Plan:
        return Plan(
            *(method.source, method.recipe, rules, conditions, self.registry, self.settings.device),
            text=method.text,
        )

    def is_finished(self, trial: Trial) -> bool:
        """Whether the run of a trial is finished."""
        return (trial.folder(self.settings.out) / METRICS).is_file()

    def _say(self, plan: Plan) -> None:
        before, after = (each.model_dump(mode="json") for each in (plan.recipe, plan.resolved))
        replaced = changes(before, after)
        if replaced:
            name = plan.protocol.name
            self.tell.note(f"{plan.recipe.name}: the protocol {name} replaces {'; '.join(replaced)}")


def _write(trial: Trial, folder: Path, store: Path) -> None:
    plan = trial.plan
    members = Members(trial, folder, store)
    (folder / "recipe.yaml").write_bytes(plan.text)
    (folder / "protocol.yaml").write_bytes(plan.conditions.read_bytes())
    write_whole(folder / LOCK, json.dumps(lock_of(trial), indent=1) + "\n")
    write_whole(folder / STAGES, json.dumps(costs_of(trial.chains, store), indent=1) + "\n")
    members.write_truth()
    rows = rows_of(members.make(), folder, members.truth, plan.protocol.slices)
    results = Results(
        recipe=plan.recipe.name,
        protocol=plan.protocol.name,
        about=plan.protocol.about,
        stand_ins=plan.protocol.stand_in_note(plan.recipe),
        chains=plan.protocol.chains,
        hash=trial.hash,
        conditions=trial.comparable,
        truth=members.truth,
        versions=environment(),
        rows=tuple(rows),
    )
    write_results(folder, results)


def _refuse_unknown_slices(trial: Trial) -> None:
    known = {key for query in trial.report.queries for key in query.extra}
    for key in trial.plan.protocol.slices:
        if key not in known:
            raise DataError(
                f"{trial.plan.conditions}: 'slices' names {key!r}, but no query of {trial.report.place} has "
                f"this key.{did_you_mean(key, known)} Keys: {', '.join(sorted(known)) or 'none'}."
            )


def _refuse_device(device: str) -> None:
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise RunError(f"there is no device {device!r}. Use cpu, cuda or cuda:N.") from None
    if kind not in ("cpu", "cuda"):
        raise RunError(f"the device {device!r} is not supported. Use cpu, cuda or cuda:N.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise RunError(f"device {device!r}: torch finds no CUDA device here. Use --device cpu.")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
