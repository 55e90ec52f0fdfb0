"""The splits that a recipe needs under a protocol, and the files that must be present for them. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from amrbench.config.paths import with_resolved_paths
from amrbench.config.protocol import Protocol
from amrbench.config.recipe import Recipe, Role
from amrbench.data.local_dataset import HasDatasetFolder
from amrbench.part import Part
from amrbench.required_files import RequiredFile, missing_files, refuse_missing
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeaturesPart

Use = Literal["train", "select", "report"]
"""What a split is needed for: training, the choice of an epoch, or the table."""


def describe_part(part: Part) -> str:
    """Return a part's name and the options that differ from their defaults, as one line."""
    return " ".join([part.use, *(f"{name}={value}" for name, value in part.changed_options().items())])


@dataclass(frozen=True)
class FeatureRequest:
    """A split of a data set, and the encoder of its recordings and sentences."""

    dataset: DatasetPart
    split: str
    features: FeaturesPart

    @property
    def by_encoder(self) -> list[FeatureRequest]:
        """Return a request for each encoder of the features."""
        return [replace(self, features=encoder) for encoder in self.features.encoders]

    @property
    def source(self) -> str:
        """Return e.g. "castella train"."""
        return f"{describe_part(self.dataset)} {self.split}"

    @property
    def location(self) -> str:
        """Return the annotation file of a data set that people provide, or e.g. "procedural train"."""
        if isinstance(self.dataset, HasDatasetFolder):
            return str(self.dataset.dataset_folder.annotations(self.split))
        return self.source

    @property
    def name(self) -> str:
        """Return e.g. "castella train for clap"."""
        return f"{self.source} for {self.features.label}"

    @property
    def key(self) -> str:
        """Return a text that is equal for equal requests."""
        dataset, features = (part.model_dump(mode="json") for part in (self.dataset, self.features))
        return json.dumps([dataset, self.split, features], sort_keys=True)

    @property
    def required_files(self) -> list[RequiredFile]:
        """Return the files that must be present."""
        return [
            file
            for request in self.by_encoder
            for file in request.dataset.required_files(request.split, request.features)
        ]


def refuse_missing_files(requests: Sequence[FeatureRequest]) -> None:
    """Raise DataError with all missing files that one of the splits needs; or do nothing."""
    missing = {request.name: missing_files(request.required_files) for request in requests}
    incomplete = [name for name, files in missing.items() if files]
    who = incomplete[0] if len(incomplete) == 1 else "the run"
    refuse_missing(who, [file for files in missing.values() for file in files])


@dataclass(frozen=True)
class RequiredSplits:
    """The splits that a recipe needs under a protocol.

    Attributes:
        recipe: As its file says.
        protocol: As its file says.
        protocol_file: Where relative paths of the protocol start.
    """

    recipe: Recipe
    protocol: Protocol
    protocol_file: Path

    @cached_property
    def _here(self) -> Protocol:
        """Return the protocol with paths as they are opened from the working directory."""
        return with_resolved_paths(self.protocol, self.protocol_file)

    @cached_property
    def resolved(self) -> Recipe:
        """Return the recipe with stand-ins and budget in place."""
        return self._here.resolve(self.recipe)

    def training(self, role: Role) -> list[FeatureRequest]:
        """Return the splits that a role trains on."""
        splits = self.protocol.splits.train if role == "target" else ("train",)
        return [self._request(self._here.data.of(role), split) for split in splits]

    def selection(self, role: Role) -> FeatureRequest:
        """Return the split that chooses the epoch for a role."""
        split = self.protocol.splits.select if role == "target" else "val"
        return self._request(self._here.data.of(role), split)

    @property
    def report(self) -> FeatureRequest:
        """Return the split that is predicted, and scored if its ground truth is public."""
        data = self._here.data
        return self._request(data.report or data.target, self.protocol.splits.report)

    @property
    def uses(self) -> list[tuple[Use, FeatureRequest]]:
        """Return all splits with what they are needed for; a split may be there more than once."""
        uses: list[tuple[Use, FeatureRequest]] = []
        for role in dict.fromkeys(stage.data for stage in self.resolved.stages):
            uses += [("train", request) for request in self.training(role)]
            uses.append(("select", self.selection(role)))
        return [*uses, ("report", self.report)]

    @property
    def all(self) -> list[FeatureRequest]:
        """Return all splits that are needed, some of them possibly twice."""
        return [request for _, request in self.uses]

    @property
    def required_files(self) -> list[RequiredFile]:
        """Return all files that must be present, each once."""
        return list(dict.fromkeys(file for request in self.all for file in request.required_files))

    def _request(self, dataset: DatasetPart, split: str) -> FeatureRequest:
        return FeatureRequest(dataset, split, self.resolved.features)
