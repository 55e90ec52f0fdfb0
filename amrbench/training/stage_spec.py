"""A stage of training: all that determines it, and so its name in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from amrbench.config.recipe import Recipe, Stage, Training
from amrbench.content_hash import content_hash, seed_from
from amrbench.data.feature_source import FeatureSource
from amrbench.training.log import RunningStage
from amrbench.training.store_layout import ENGINE

DTYPE = "float32"


@dataclass(frozen=True, eq=False)
class StageSpec:
    """All that determines a stage.

    Attributes:
        recipe: The recipe with stand-ins and budget in place.
        index: Of the stage in the recipe, from 0.
        seed: Of initial weights, order, and all other random draws.
        train: The splits that are trained on.
        select: The split that chooses the epoch.
        versions: Of the parts that determine the weights, by slot and name.
        threads: Number of threads; it changes the last bits of the weights.
        device: E.g. "cpu" or "cuda:0".
        parent: The stage whose weights it starts from, if any.
        together: The seeds that are trained at once, its own among them; empty if it is trained alone.
    """

    recipe: Recipe
    index: int
    seed: int
    train: tuple[FeatureSource, ...]
    select: FeatureSource
    versions: Mapping[str, str]
    threads: int
    device: str
    parent: StageSpec | None = None
    together: tuple[int, ...] = ()

    @property
    def stage(self) -> Stage:
        """Return the options of the stage."""
        return self.recipe.stages[self.index]

    @property
    def training(self) -> Training:
        """Return how it is trained: the recipe's training with the stage's own learning rate and schedule."""
        return self.recipe.training_of(self.stage)

    @property
    def name(self) -> str:
        """Return e.g. "cgdetr finetune, seed 1"."""
        seed = f", seed {self.seed}" if self.stage.seeds == "many" or self.seed else ""
        return f"{self.recipe.name} {self.stage.name}{seed}"

    @property
    def model_name(self) -> str:
        """Return the name of its model in tables, if it is the last stage of a chain."""
        return f"seed {self.seed}"

    @property
    def running(self) -> RunningStage:
        """Return what people are shown while it is trained."""
        training = self.training
        return RunningStage(self.name, self.stage.epochs, training.readouts[0].use, training.select[0])

    @property
    def chain(self) -> list[StageSpec]:
        """Return the stages that it builds on and itself, in the order of training."""
        return [*(self.parent.chain if self.parent else ()), self]

    @property
    def group(self) -> list[StageSpec]:
        """Return the stages that are trained at once, in the order of their seeds; itself if it is alone."""
        return [replace(self, seed=seed) for seed in self.together] or [self]

    @property
    def sampling_seed(self) -> int:
        """Return the seed of all draws after the initial weights; stages of a chain draw differently."""
        return seed_from(self.seed, len(self.chain))

    def content(self) -> dict[str, object]:
        """Return what the key is a hash of: no names, no paths, and not the number of processes."""
        # Rate and schedule are in the training, so stages that say the same in other ways have one key.
        stage = self.stage.model_dump(mode="json", exclude={"name", "data", "seeds", "lr", "schedule"})
        # One whose epochs count alone has the key from before there were means over epochs, and one that is
        # trained alone that from before there were groups.
        means = {"select_over"} if self.training.select_over == 1 else None
        together = {"together": list(self.together)} if self.together else {}
        return {
            "engine": ENGINE,
            "model": self.recipe.model.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json", exclude=means),
            "limits": self.recipe.limits.model_dump(mode="json"),
            "stage": stage,
            "train": [source.fingerprint for source in self.train],
            "select": self.select.fingerprint,
            "seed": self.seed,
            "versions": dict(sorted(self.versions.items())),
            "threads": self.threads,
            "device": torch.device(self.device).type,
            "dtype": DTYPE,
            "parent": self.parent.key if self.parent else "",
            **together,
        }

    @cached_property
    def key(self) -> str:
        """Return the name of the stage in the store."""
        return content_hash(self.content())


def distinct_stages(chains: Iterable[StageSpec]) -> list[StageSpec]:
    """Return the stages of chains, each once, by its first name, and after the stage that it starts from."""
    stages: dict[str, StageSpec] = {}
    for spec in (spec for last in chains for spec in last.chain):
        stages.setdefault(spec.key, spec)
    return list(stages.values())
