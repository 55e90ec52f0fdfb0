"""Stages of training, found by what determines them.

`stages/<key>/` holds `weights.safetensors` (the best epoch), `last.safetensors`, `log.jsonl` and
`done.json`. It is made in `<key>.making/` and gets its name at the end, so a folder of this name is a
finished stage. A stage that was broken off is trained again from its beginning, to the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from amrbench.config.recipe import Limits, Recipe, Stage
from amrbench.data.split import Split, epoch_order, load_split, visits
from amrbench.files.locks import exclusive
from amrbench.files.weights import load_weights, read_weights, write_weights
from amrbench.files.whole import write_whole
from amrbench.sources import Source
from amrbench.training import log
from amrbench.training.criterion import Criterion, build_criterion
from amrbench.training.inference import to_device, validate
from amrbench.training.log import Epoch, Working
from amrbench.training.progress import Reporter
from amrbench.training.train import Best, Lesson, fit, seed_of, steady
from amrbench.types import Batch, Context, Plan, Target

ENGINE = 1
"""Raised when the loop's numbers change, so that older stages are not taken for its own."""

WEIGHTS = "weights.safetensors"
LAST = "last.safetensors"
DONE = "done.json"
DTYPE = "float32"

_HELD_AT_MOST = 4
_held: dict[tuple[str, ...], Split] = {}


@dataclass(frozen=True, eq=False)
class Spec:
    """All that determines a stage.

    Attributes:
        recipe: The recipe with stand-ins and budget in place.
        place: Which of its stages, from 0.
        seed: Of initial weights, order, and everything drawn.
        train: The splits that are trained on.
        select: The split that chooses the epoch.
        versions: Of the parts that have a say, by slot and name.
        threads: Of the process; their number changes bits.
        device: E.g. "cpu" or "cuda:0".
        parent: The stage whose weights it starts from, if any.
    """

    recipe: Recipe
    place: int
    seed: int
    train: tuple[Source, ...]
    select: Source
    versions: Mapping[str, str]
    threads: int
    device: str
    parent: Spec | None = None

    @property
    def stage(self) -> Stage:
        """Return the options of the stage."""
        return self.recipe.stages[self.place]

    @property
    def name(self) -> str:
        """Return e.g. "cgdetr finetune, seed 1"."""
        seed = f", seed {self.seed}" if self.stage.seeds == "many" or self.seed else ""
        return f"{self.recipe.name} {self.stage.name}{seed}"

    @property
    def member(self) -> str:
        """Return what its model is called in tables, if it is the last stage of a chain."""
        return f"seed {self.seed}"

    @property
    def working(self) -> Working:
        """Return what people are told while it is trained."""
        return Working(self.name, self.stage.epochs, self.recipe.training.select[0])

    @property
    def chain(self) -> list[Spec]:
        """Return the stages before this one and itself, in the order of training."""
        return [*(self.parent.chain if self.parent else ()), self]

    def content(self) -> dict[str, object]:
        """Return what the key is a hash of; names, paths and the number of processes are not in it."""
        stage = self.stage.model_dump(mode="json", exclude={"name", "data", "seeds"})
        return {
            "engine": ENGINE,
            "model": self.recipe.model.model_dump(mode="json"),
            "training": self.recipe.training.model_dump(mode="json"),
            "limits": self.recipe.limits.model_dump(mode="json"),
            "stage": stage,
            "train": [each.fingerprint for each in self.train],
            "select": self.select.fingerprint,
            "seed": self.seed,
            "versions": dict(sorted(self.versions.items())),
            "threads": self.threads,
            "device": torch.device(self.device).type,
            "dtype": DTYPE,
            "parent": self.parent.key if self.parent else "",
        }

    @cached_property
    def key(self) -> str:
        """Return the name of the stage in the store."""
        text = json.dumps(self.content(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def store_of(cache: Path) -> Path:
    """Return the folder of all stages."""
    return cache / "stages"


def is_finished(spec: Spec, store: Path) -> bool:
    """Whether the stage lies in the store."""
    return (store / spec.key / DONE).is_file()


def making(spec: Spec, store: Path) -> Path:
    """Return the folder of a stage that is being trained."""
    return store / f"{spec.key}.making"


def stage(spec: Spec, store: Path, tell: Reporter) -> Path:
    """Return the folder of a stage; it is trained, after those before it, unless it lies in the store.

    Raises:
        RunError: Training failed, or the store cannot be written to.
        CheckpointError: The weights of the stage before do not fit, or are damaged.
        DataError: Features are damaged.
    """
    folder = store / spec.key
    if is_finished(spec, store):
        return folder
    start = stage(spec.parent, store, tell) if spec.parent else None
    waiting = partial(_tell_waiting, spec, tell)
    with exclusive(store / f"{spec.key}.lock", waiting):
        if not is_finished(spec, store):
            unfinished = making(spec, store)
            unfinished.mkdir(parents=True, exist_ok=True)
            _train(spec, start, unfinished, tell)
            unfinished.rename(folder)
    return folder


def trained(spec: Spec, store: Path) -> Criterion:
    """Return the model and losses of a finished stage, with the weights of its best epoch."""
    criterion = untrained(spec)
    file = store / spec.key / WEIGHTS
    load_weights(criterion, read_weights(file), name=str(file))
    return criterion


def untrained(spec: Spec) -> Criterion:
    """Return the model and losses of a stage as it would begin without a stage before it."""
    split = split_of(spec.train, spec.recipe.limits)
    context = Context(
        features=split.widths,
        seed=spec.seed,
        input_dropout=spec.stage.input_dropout,
        window_widths=split.window_widths(),
    )
    return build_criterion(spec.recipe, context).to(spec.device)


def split_of(sources: Sequence[Source], limits: Limits) -> Split:
    """Return splits as one; those used last stay in memory, also from one stage to the next.

    A forecast samples splits under the fingerprint of the whole, so their sizes tell them apart.
    """
    sizes = (f"{each.fingerprint} {len(each.queries)}" for each in sources)
    key = (*sizes, f"{limits.frames} {limits.words}")
    _held[key] = _held.pop(key) if key in _held else load_split(sources, limits)
    while len(_held) > _HELD_AT_MOST:
        del _held[next(iter(_held))]
    return _held[key]


def left_out(spec: Spec) -> str:
    """Return a sentence about the queries that a stage cannot learn from; empty if there are none."""
    with steady(spec.threads):
        split = split_of(spec.train, spec.recipe.limits)
    if not split.untrainable:
        return ""
    return (
        f"{spec.recipe.name} {spec.stage.name}: training leaves out {split.untrainable:,} of {len(split):,} "
        "queries, which have no window in what is heard of their recording"
    )


def _train(spec: Spec, start: Path | None, folder: Path, tell: Reporter) -> None:
    (folder / log.FILE).write_text("")
    with steady(spec.threads):
        train = split_of(spec.train, spec.recipe.limits)
        criterion = untrained(spec)
        if start:
            fresh = [f"model.{place}" for place in spec.stage.fresh]
            load_weights(criterion, read_weights(start / WEIGHTS), name=str(start / WEIGHTS), fresh=fresh)
        training = spec.recipe.training
        updater = training.optimizer.build(criterion, _plan(spec, train))
        best = Best(criterion, training.select)

        def keep(epoch: Epoch) -> None:
            best.see(epoch)
            log.write_epoch(folder / log.FILE, epoch)
            tell.epoch(spec.working, epoch)

        fit(criterion, updater, _lesson(spec, train, criterion), keep=keep)
    _write(spec, folder, best)


def _plan(spec: Spec, train: Split) -> Plan:
    training = spec.recipe.training
    steps = -(-len(train.trainable) // training.batch)
    return Plan(epochs=spec.stage.epochs, steps_per_epoch=steps, clip=training.clip)


def _lesson(spec: Spec, train: Split, criterion: Criterion) -> Lesson:
    device = torch.device(spec.device)
    select = split_of((spec.select,), spec.recipe.limits)
    return Lesson(
        name=spec.name,
        epochs=spec.stage.epochs,
        samples=partial(_samples, spec, train),
        validate=lambda: validate(criterion.model, select, device=device, select=spec.recipe.training.select),
        seed=_seed(spec),
    )


def batches(
    spec: Spec, train: Split, places: Iterable[NDArray[np.int64]], *, epoch: int
) -> Iterator[tuple[Batch, Target]]:
    """Yield training batches of an epoch on the device; `places` are those of the queries of each."""
    device, rng_of = torch.device(spec.device), visits(_seed(spec), epoch)
    labels = spec.recipe.training.targets.build()
    augments = [part.build() for part in spec.recipe.training.augment]
    for each in places:
        batch, target = train.training_batch(each, labels=labels, augments=augments, rng_of=rng_of)
        yield to_device(batch, device), to_device(target, device)


def _samples(spec: Spec, train: Split, epoch: int) -> Iterator[tuple[Batch, Target]]:
    size = spec.recipe.training.batch
    order = train.trainable[epoch_order(len(train.trainable), _seed(spec), epoch)]
    places = (order[at : at + size] for at in range(0, len(order), size))
    return batches(spec, train, places, epoch=epoch)


def _seed(spec: Spec) -> int:
    """Return the seed of all that is drawn; stages of a chain draw differently from each other."""
    return seed_of(spec.seed, len(spec.chain))


def _write(spec: Spec, folder: Path, best: Best) -> None:
    about = {"key": spec.key, "stage": spec.name, "epoch": best.epoch, "val": dict(best.val)}
    write_weights(folder / WEIGHTS, best.best, about)
    write_weights(folder / LAST, best.last, about | {"epoch": spec.stage.epochs})
    cost = log.cost_of(log.read_epochs(folder / log.FILE))
    done = about | cost | {"content": spec.content()}
    write_whole(folder / DONE, json.dumps(done, indent=1) + "\n")


def _tell_waiting(spec: Spec, tell: Reporter, holder: str) -> None:
    tell.note(f"{spec.name}: waiting for process {holder}, which trains it")
