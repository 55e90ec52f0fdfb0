"""Simulated data and its encoder by their names in protocols."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from amrbench.files.folders import path_of
from amrbench.part import location, problem
from amrbench.required_files import Published, RequiredFile
from amrbench.slots.data import Dataset, DatasetPart, refuse_unknown_split
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench_plugins.simulated.marginals import SHAPES, Shape

LIGHTHOUSE = Published("github.com/line/lighthouse, folder data")
LARGEST_SEED = 2**32 - 1


class SimulatedData(DatasetPart):
    """Annotations of the true size of a data set, about recordings without sound. Scores mean nothing.

    castella: 3,881 queries about 1,620 recordings of one to five minutes. clotho-moment: 44,261 queries about
    one-minute clips. intermediate300: 15,799 queries about 5-minute clips. Encoded by `simulated`.
    """

    use = "simulated"
    shape: Literal["castella", "clotho-moment", "intermediate300"] = Field(
        "castella", description="data set whose size and marginals it has"
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="another seed, other annotations and recordings")
    scale: float = Field(1.0, ge=0.001, le=100, description="number of recordings relative to the true one")
    signal: float = Field(0.5, ge=0, le=10, description="strength of the described sounds")
    annotations: str = location(
        "folder with the published annotation files, whose queries are then used; by default they are drawn"
    )

    @model_validator(mode="after")
    def _files_have_a_size(self) -> Self:
        if self.annotations and self.scale != 1:
            raise problem("annotation files have a size of their own; leave out 'scale' or 'annotations'.")
        if self.annotations and not self._shape.file:
            raise problem(f"no annotation files of {self.shape} are published; leave out 'annotations'.")
        return self

    @override
    def build(self) -> Dataset:
        from amrbench_plugins.simulated.queries import DrawnQueries, ListedQueries
        from amrbench_plugins.simulated.recordings import SimulatedDataset

        splits = self._shape.splits
        queries = (
            ListedQueries({split: self._file(split) for split in splits})
            if self.annotations
            else DrawnQueries(self._shape, self.seed, self.scale)
        )
        return SimulatedDataset(queries, seed=self.seed, signal=self.signal)

    @override
    def required_files(self, split: str, features: FeaturesPart) -> Sequence[RequiredFile]:
        refuse_unknown_split(self.use, split, self._shape.splits)
        files = list(features.required_files())
        if self.annotations:
            path = self._file(split)
            files.append(
                RequiredFile(
                    what=f"annotations of {self.shape} {split}",
                    path=path,
                    present=path.is_file(),
                    published=LIGHTHOUSE,
                    remedy="Put the file there, or leave out 'annotations' to draw queries.",
                )
            )
        return files

    @property
    def _shape(self) -> Shape:
        return SHAPES[self.shape]

    def _file(self, split: str) -> Path:
        return path_of(self.annotations) / self._shape.file.format(split=split)


class SimulatedFeatures(FeaturesPart):
    """Encoder of `simulated` data, as wide as CLAP: 768 features a second and a word. It hears nothing."""

    use = "simulated"
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="another seed, another encoder")
    noise: float = Field(0.9, ge=0, le=10, description="length of the noise in a row of audio")
    text: Literal["tokens", "sentence"] = Field(
        "tokens", description="rows of a sentence: its words and itself, or one for all of it"
    )

    @override
    def build(self) -> FeatureBackend:
        from amrbench_plugins.simulated.encoder import SimulatedEncoder

        return SimulatedEncoder(seed=self.seed, noise=self.noise, text=self.text)

    @override
    def parameters(self) -> int:
        return 0
