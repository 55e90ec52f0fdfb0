"""Tasks: all that is needed to train one stage on a machine that has the folders of this one, as a file.

A worker process of this machine gets the stage itself, which pickles with parts that no plugin offers. A task
says nothing of how its result comes back: the stage is then in the store.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from amrbench.config.load import Method, validated
from amrbench.config.paths import with_resolved_paths
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.feature_dataset import DatasetCache
from amrbench.data.prepare import prepare
from amrbench.errors import DataError, RunError, unreadable
from amrbench.experiment.plan import PlannedRun, RunRequest, distinct_splits, plan_run
from amrbench.files.atomic import write_text_atomic
from amrbench.files.folders import DATA_VARIABLE, MODELS_VARIABLE, data_folder, models_folder
from amrbench.files.owner import this_process
from amrbench.files.yaml_file import Document
from amrbench.interrupts import stops_between_steps
from amrbench.part import Strict
from amrbench.registry import Registry
from amrbench.slots.executors import Task
from amrbench.training.progress_bars import NULL_REPORTER, Reporter
from amrbench.training.stage_group import run_group
from amrbench.training.stage_spec import StageSpec, distinct_stages
from amrbench.training.store_layout import TASKS, store_of
from amrbench.training.task_report import TaskReport, exit_code_of, reported


class TaskFile(Strict):
    """The content of a task. All its paths are absolute.

    Attributes:
        key: Of the stage.
        content: What the key is a hash of, to name what differs on another machine.
        recipe: As its file says.
        protocol: As its file says, with the number of seeds that was asked for.
        device: That the stage is trained on.
        without: Plugins that are left out.
        cache: The cache folder, with data and stages.
        environment: Variables that name the folders of data sets and of encoders.
        group: Keys of all stages that are trained at once.
        starts_from: Keys of the stages that they start from.
        host: The machine that asks.
        away: Whether it is done on a machine that does not share the folders of that one.
    """

    key: str
    content: Mapping[str, Any]
    recipe: Mapping[str, Any]
    protocol: Mapping[str, Any]
    device: str
    without: tuple[str, ...]
    cache: Path
    environment: Mapping[str, str]
    group: tuple[str, ...]
    starts_from: tuple[str, ...]
    host: str
    away: bool = False

    @classmethod
    def of(cls, spec: StageSpec, request: RunRequest, *, cache: Path, without: Sequence[str]) -> TaskFile:
        """Return the task of a stage of a recipe under a protocol."""
        here = Path.cwd() / "task"  # Paths that are left relative start from the working directory.
        protocol = with_resolved_paths(request.protocol, request.protocol_file)
        return cls(
            key=spec.key,
            content=spec.content(),
            recipe=with_resolved_paths(request.recipe, here).model_dump(mode="json"),
            protocol=with_resolved_paths(protocol, here).model_dump(mode="json"),
            device=request.device,
            without=tuple(without),
            cache=cache.absolute(),
            environment={DATA_VARIABLE: str(data_folder()), MODELS_VARIABLE: str(models_folder())},
            group=tuple(own.key for own in spec.group),
            starts_from=tuple(dict.fromkeys(own.parent.key for own in spec.group if own.parent)),
            host=platform.node(),
        )

    @classmethod
    def read(cls, file: Path) -> TaskFile:
        """Read a task.

        Raises:
            DataError: The file cannot be read.
            RunError: It is no task.
        """
        try:
            return cls.model_validate_json(file.read_bytes())
        except OSError as error:
            raise unreadable(file, error) from error
        except ValidationError as error:
            raise RunError(
                f"{file}: is no task of this version of amrbench ({error.errors()[0]['msg']}). Tasks are "
                "written by 'amrbench run --executor'; install the same version there and here."
            ) from error

    def request(self, registry: Registry, file: Path) -> RunRequest:
        """Return the recipe under the protocol.

        Args:
            registry: The parts that they name.
            file: Of the task, for messages.

        Raises:
            RecipeError: A part is missing, or has other options here.
        """
        recipe, protocol = (Document(str(file), options, {}) for options in (self.recipe, self.protocol))
        return RunRequest(
            method=Method(file, b"", validated(recipe, Recipe, registry)),
            protocol=validated(protocol, Protocol, registry),
            protocol_file=file,
            registry=registry,
            device=self.device,
        )


class TaskWriter:
    """Writes the tasks of the stages of some runs."""

    def __init__(self, planned: Sequence[PlannedRun], *, cache: Path, without: Sequence[str]) -> None:
        self.cache, self.without = cache, without
        self.requests = {spec.key: plan.request for plan in planned for spec in plan.stages}

    def __call__(self, spec: StageSpec) -> Task:
        """Write the task of a stage.

        The name of its file says which process wrote it, because another one may write a task for the same
        stage, and each removes its own.

        Raises:
            RunError: The file cannot be written.
        """
        file = self.cache.absolute() / TASKS / f"{spec.key}.{this_process().label}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        TaskReport.file_of(file).unlink(missing_ok=True)
        task = TaskFile.of(spec, self.requests[spec.key], cache=self.cache, without=self.without)
        write_text_atomic(file, task.model_dump_json(indent=1))
        train = partial(train_in_worker, spec, store_of(self.cache), file)
        return Task(spec.name, file, spec.device, spec.threads, train)


def train_task(file: Path, registry_of: Callable[[Sequence[str]], Registry], reporter: Reporter) -> StageSpec:
    """Train the stage of a task, and leave a report beside it; return the stage.

    Args:
        file: The task.
        registry_of: Returns the parts of all plugins except some.
        reporter: Receives what happens.

    Raises:
        AmrbenchError: The task is none, or asks for a stage that cannot be found here; see also `run_group`.
    """
    task = TaskFile.read(file)
    announce = partial(reporter.note, "stopping after this step")
    with reported(file, task.host, report=reporter.note):
        spec = find_stage(task, file, registry_of(task.without), reporter)
        with stops_between_steps(announce):
            run_group(spec, store_of(task.cache), reporter, DatasetCache())
    return spec


_datasets = DatasetCache()
"""Of a worker process, which trains several stages on the same splits."""


def train_in_worker(spec: StageSpec, store: Path, file: Path) -> int:
    """Train the stage of a task in a worker process of this machine, and leave a report beside its file.

    Returns:
        See `exit_code_of`.
    """

    def train() -> None:
        with reported(file), stops_between_steps():
            run_group(spec, store, NULL_REPORTER, _datasets)

    return exit_code_of(file, train)


def find_stage(task: TaskFile, file: Path, registry: Registry, reporter: Reporter) -> StageSpec:
    """Return the stage of a task.

    Raises:
        RunError: This machine would train another stage, or lacks data and shares no folders.
        DataError: Data is missing or damaged.
    """
    request = task.request(registry, file)
    splits = distinct_splits([request])
    try:
        made = prepare(list(splits.values()), cache=task.cache, jobs=1, report=reporter.data)
    except DataError as error:
        if not task.away:
            raise
        raise RunError(
            f"{error}\n{platform.node()} shares no folders with {task.host}, so data sets and encoders that "
            "need files must have them at the same paths on both. Copy them there, or leave the machine out."
        ) from error
    stages = distinct_stages(plan_run(request, dict(zip(splits, made, strict=True))).chains)
    for spec in stages:
        if spec.key == task.key:
            return spec
    raise RunError(
        f"{file}: this machine would train other stages. {_difference(task, stages)} The same versions of "
        "amrbench, of plugins and of data must be on all machines."
    )


def _difference(task: TaskFile, stages: Sequence[StageSpec]) -> str:
    """Return what differs between a task and the nearest stage of this machine, in words."""
    differing = sorted((_differing(task.content, spec.content()) for spec in stages), key=len)
    return f"What differs: {', '.join(differing[0])}."


def _differing(content: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    here = json.loads(json.dumps(other))
    names = sorted({*content, *here})
    return [name for name in names if content.get(name) != here.get(name)]
