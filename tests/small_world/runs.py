"""Plans, stages and runs of the recipe in `tests.small_world.parts`."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml

from amrbench.config.load import Method
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe
from amrbench.data.feature_dataset import DatasetCache
from amrbench.data.feature_source import FeatureSource
from amrbench.data.prepare import prepare
from amrbench.data.required_splits import FeatureRequest
from amrbench.data.worker_pool import no_report
from amrbench.experiment.plan import PlannedRun, RunRequest, plan_run
from amrbench.experiment.run import Run, Settings, run
from amrbench.files.checksums import files_below, write_checksums
from amrbench.files.weights import load_weights, read_weights
from amrbench.training.criterion import Criterion
from amrbench.training.progress_bars import NULL_REPORTER, Reporter
from amrbench.training.stage_spec import StageSpec
from amrbench.training.stage_store import weights_file
from amrbench.training.stages import run_stage, untrained
from tests.small_world.data import Events, OneHot
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY


def prepare_splits(cache: Path) -> dict[str, FeatureSource]:
    """Return all splits that the recipe needs, by `FeatureRequest.key`."""
    requests = [
        FeatureRequest(Events(name=name), split, OneHot())
        for name in ("pre", "target")
        for split in ("train", "val", "test")
    ]
    sources = prepare(requests, cache=cache, jobs=1, report=no_report)
    return dict(zip((request.key for request in requests), sources, strict=True))


def request_of(recipe=RECIPE, protocol=PROTOCOL, *, registry=REGISTRY, device="cpu") -> RunRequest:
    return RunRequest(
        method=Method(Path("toy.yaml"), b"", Recipe.model_validate(recipe, context=registry)),
        protocol=Protocol.model_validate(protocol, context=registry),
        protocol_file=Path("tiny.yaml"),
        registry=registry,
        device=device,
    )


def plan(sources: Mapping[str, FeatureSource], recipe=RECIPE, protocol=PROTOCOL, **options) -> PlannedRun:
    return plan_run(request_of(recipe, protocol, **options), sources)


def write_yaml(path: Path, content: object) -> Path:
    """Write a recipe or protocol."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def changed(content: dict, **options: object) -> dict:
    """Return a document with some values replaced, e.g. training__clip=1."""
    new = copy.deepcopy(content)
    for path, value in options.items():
        *parents, last = path.split("__")
        options_at = new
        for name in parents:
            options_at = options_at[name]
        options_at[last] = value
    return new


def train(spec: StageSpec, store: Path) -> Path:
    """Train a stage and those before it; return its folder."""
    return run_stage(spec, store, NULL_REPORTER, DatasetCache())


def load_trained(spec: StageSpec, store: Path) -> Criterion:
    """Return the model and losses of a finished stage, with the weights of its best epoch."""
    criterion = untrained(spec, DatasetCache())
    load_weights(
        criterion, read_weights(store / spec.key / weights_file(spec.recipe.selected_by)), name=spec.name
    )
    return criterion


def settings_in(folder: Path, **options) -> Settings:
    return Settings(**{"jobs": 1, "out": folder / "runs", "cache": folder / "cache"} | options)


def run_in(folder: Path, recipe: str = "toy", *, reporter: Reporter = NULL_REPORTER, **options) -> Run:
    """Run a recipe of a folder under its protocol; see the fixture `toy_folder`."""
    return run(
        folder / f"{recipe}.yaml",
        folder / "tiny.yaml",
        registry=REGISTRY,
        settings=settings_in(folder, **options),
        reporter=reporter,
    )


def seal(folder: Path) -> None:
    """Make a run out of a folder whose files were changed or written by hand."""
    write_checksums(folder, files_below(folder))


def what_runs_left(folder: Path) -> dict[str, bytes]:
    """Return all that runs leave and that may not depend on where they were stopped."""
    left = {}
    for below in (folder / "runs", folder / "cache" / "stages"):
        for name in files_below(below):
            if not name.endswith("times.jsonl"):
                left[f"{below.name}/{name}"] = _without_costs(below / name)
    return left


def _without_costs(file: Path) -> bytes:
    content = file.read_bytes()
    if file.name != "result.json":
        return content
    result = json.loads(content)
    costs = [stage.pop("seconds") + stage.pop("memory_mib") for stage in result["stages"]]
    assert all(costs)
    return json.dumps(result).encode()


def stages_in(folder: Path) -> dict[str, dict]:
    """Return the content of done.json of each finished stage, by its key."""
    files = sorted((folder / "cache" / "stages").glob("*/done.json"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def same_bits(folder: Path, other: Path) -> bool:
    """Whether two folders have the same stages with the same weights."""
    first, second = (
        {
            (file.parent.name, file.name): read_weights(file)
            for file in root.glob("cache/stages/*/*.safetensors")
        }
        for root in (folder, other)
    )
    assert first
    return first.keys() == second.keys() and all(
        torch.equal(first[key][name], second[key][name]) for key in first for name in first[key]
    )


def killed_once(folder: Path, *, after: int) -> dict:
    """Return a recipe whose training kills its process after some steps, but only the first time."""
    marker = folder / "kill"
    marker.touch()
    losses = ["frames", "spans", {"use": "failing", "kind": "kill", "at": str(marker), "after": after}]
    return changed(RECIPE, training__losses=losses)


class Recorder(Reporter):
    """Keeps everything that is reported."""

    def __init__(self) -> None:
        self.notes, self.epochs, self.steps, self.ended = [], [], [], set()

    def note(self, text):
        self.notes.append(text)

    def data(self, progress):
        pass

    def step(self, stage, progress):
        self.steps.append((stage.name, progress))

    def epoch(self, stage, epoch):
        self.epochs.append((stage.name, epoch.epoch))

    def end(self, stage):
        self.ended.add(stage.name)
