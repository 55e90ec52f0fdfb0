"""The contract: one abstract part and one protocol for each slot that the core knows.

The slots inside a model (fusion, encoder, decoder, heads, ...) belong to the plugin of that model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from amrbench.part import Part
from amrbench.soup import Soup
from amrbench.types import (
    Batch,
    Context,
    Encoded,
    ForeignModel,
    Losses,
    Outcome,
    Plan,
    Prediction,
    Target,
    Tensors,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from amrbench.annotations import Query
    from amrbench.data.home import Home
    from amrbench.data.needs import Need
    from amrbench.files.checkpoints import Checkpoint

    Rows = NDArray[np.float32]


# ---------------------------------------------------------------- data


class Backend(Protocol):
    """Turns recordings and sentences into features.

    Its attributes are known without any file; weights are read when `audio`, `text` or `fingerprint` is first
    called, which raise DataError if a file is missing, saying where it is published.
    """

    name: str
    audio_width: int
    text_width: int
    rate: int
    """Samples a second that `audio` expects."""
    hop: float
    """Seconds between two feature rows."""

    def audio(self, waveform: Rows) -> Rows:
        """Return (T, audio_width) for a mono waveform (samples,); T = floor(seconds / hop)."""

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (L, text_width) for each sentence; L may differ and is at least 1."""

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the numbers."""


class FeaturesPart(Part):
    """An audio-text encoder, by its name in papers."""

    slot = "features"

    @abstractmethod
    def build(self) -> Backend:
        """Return the encoder; nothing is read yet."""

    @property
    def label(self) -> str:
        """Return its name with the options that set its features apart, e.g. "m2d-clap+text=tokens"."""
        fields = type(self).model_fields
        extras = {name: field.json_schema_extra for name, field in fields.items()}
        telling = [name for name in fields if extras[name] != {"placing": True}]
        changed = [name for name in telling if getattr(self, name) != fields[name].default]
        return "+".join([self.use, *(f"{name}={getattr(self, name)}" for name in changed)])

    @property
    def members(self) -> tuple[FeaturesPart, ...]:
        """Return the encoders whose features stand side by side in its own; most are their only member."""
        return (self,)

    def replaced(self, stand_ins: Mapping[str, FeaturesPart]) -> FeaturesPart:
        """Return what takes its place where encoders of these names are not at hand."""
        return stand_ins.get(self.use, self)

    def needs(self) -> Sequence[Need]:
        """Return the files that it reads; none if they are shipped."""
        return ()

    def parameters(self) -> int | None:
        """Return how many weights it has, without reading them; None if that is not known."""
        return None


class Recording(Protocol):
    """One recording of a data set with the queries that ask about it."""

    @property
    def vid(self) -> str:
        """Return the id."""

    @property
    def rate(self) -> int:
        """Return the samples a second."""

    @property
    def waveform(self) -> Rows:
        """Return (samples,) mono in [-1, 1]."""

    @property
    def queries(self) -> Sequence[Query]:
        """Return the queries that ask about it."""


class Dataset(Protocol):
    """Recordings and queries in splits."""

    def splits(self) -> Sequence[str]:
        """Return the names of the splits."""

    def size(self, split: str) -> int:
        """Return the number of recordings of a split."""

    def recording(self, split: str, index: int) -> Recording:
        """Return one recording; the same every time, whatever was asked before."""

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the recordings and queries."""


class DatasetPart(Part):
    """Where recordings, queries and true windows come from."""

    slot = "dataset"

    @abstractmethod
    def build(self) -> Dataset:
        """Return the data set; nothing is read or made yet, so that files may still be missing."""

    @property
    def home(self) -> Home | None:
        """Return the folder where annotations, features and audio lie that people place; None without one."""
        return None

    def needs(self, split: str, features: FeaturesPart) -> Sequence[Need]:
        """Return what must be at hand before a split can be used with an encoder."""
        home = self.home
        return home.needs(split, features) if home else features.needs()


class Labels(Protocol):
    """True spans and frames of one query, as arrays."""

    @property
    def spans(self) -> Rows:
        """Return (W, 2)."""

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """Return (T,)."""

    @property
    def positives(self) -> NDArray[np.int64]:
        """Return (P,)."""

    @property
    def negatives(self) -> NDArray[np.int64]:
        """Return (P,)."""


class TargetsPart(Part):
    """How annotated windows become training targets."""

    slot = "targets"

    @abstractmethod
    def build(self) -> Callable[[Query, int, float, np.random.Generator], Labels]:
        """Return a function of (query, frames, hop in seconds, random generator of this visit)."""


class AugmentPart(Part):
    """A random change of a training sample, drawn anew at each visit."""

    slot = "augment"

    @abstractmethod
    def build(self) -> Callable[[Rows, Query, float, np.random.Generator], tuple[Rows, Query]]:
        """Return a function of (audio rows (T, Da), query, hop, random generator) to new rows and query."""


# ---------------------------------------------------------------- model


class MomentModel(Protocol):
    """Audio and a sentence in, scored spans out. An `nn.Module`."""

    def encode(self, batch: Batch, views: Collection[str] = ()) -> Encoded:
        """Do all that comes before the decoder, for the batch and for each view asked for."""

    def decode(self, encoded: Encoded) -> Prediction:
        """Finish the batch as it is."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return the trainable tensors."""


class ModelPart(Part):
    """A whole model. Its own slots, if it has any, are fields."""

    slot = "model"
    views: ClassVar[frozenset[str]] = frozenset()
    """Further views of a batch that `encode` can give to losses."""

    @property
    @abstractmethod
    def provides(self) -> frozenset[str]:
        """Return the names of the tensors that encode and decode provide."""

    @abstractmethod
    def build(self, context: Context) -> nn.Module:
        """Return a `MomentModel`."""


# ---------------------------------------------------------------- training


class Matcher(Protocol):
    """Assigns decoder queries to true spans."""

    def __call__(self, tensors: Tensors, target: Target) -> Tensor:
        """Return (N, B, W) integers: the query of each true span, -1 where there is none."""


class MatcherPart(Part):
    """How decoder queries are assigned to true spans."""

    slot = "matcher"
    requires: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def build(self) -> Matcher:
        """Return the matcher."""


class Loss(Protocol):
    """A term, or a few that belong together. An `nn.Module`: it may own parameters."""

    def __call__(self, outcome: Outcome) -> dict[str, Tensor]:
        """Return named terms with their weights applied; each a scalar or (N,), one a decoder layer."""


class LossPart(Part):
    """Something to minimise."""

    slot = "loss"
    requires: ClassVar[frozenset[str]] = frozenset()
    """Names of the tensors it reads of the batch as it is."""
    views: ClassVar[Mapping[str, frozenset[str]]] = {}
    """Names of the tensors it reads of other views of the batch."""

    weight: float = Field(1.0, ge=0, description="factor of this loss in the total")

    @abstractmethod
    def build(self, context: Context) -> nn.Module:
        """Return a `Loss`."""


class Updater(Protocol):
    """Turns gradients into better weights."""

    def step(self, closure: Callable[[], Losses]) -> Losses:
        """Move the weights once and return what the first call of `closure` gave.

        `closure` does the forward pass and the losses; it may be called as often as the method needs.
        """

    def end_epoch(self) -> None:
        """Be told that an epoch is over."""

    def eval_weights(self) -> AbstractContextManager[None]:
        """Within this context the modules carry the weights that should be scored and saved."""


class OptimizerPart(Part):
    """How gradients move the weights. Optimizers wrap each other: `around`."""

    slot = "optimizer"

    @abstractmethod
    def build(self, module: nn.Module, plan: Plan) -> Updater:
        """Return an updater for all trainable parameters of the module (model and losses)."""


class SchedulePart(Part):
    """The learning rate over a stage; a field of the optimizers that accept one."""

    slot = "schedule"

    @abstractmethod
    def build(self, plan: Plan) -> Callable[[int], float]:
        """Return a function of the step (from 0) to a factor on the learning rate."""


# ---------------------------------------------------------------- after training


class SoupPart(Part):
    """What is made of the fine-tuned weights of many seeds."""

    slot = "soup"

    @property
    def losses_read(self) -> frozenset[str]:
        """Return the names of the recipe's losses that it asks about."""
        return frozenset()

    @abstractmethod
    def build(self) -> Soup:
        """Return the soup."""


class RankingPart(Part):
    """A step from raw moments to the list that is scored."""

    slot = "ranking"

    @abstractmethod
    def build(self) -> Callable[[Rows, Query], Rows]:
        """Return a function of (moments (Q, 3) start, end, score, best first; query) to a new list."""


# ---------------------------------------------------------------- from other programs


class CheckpointPart(Part):
    """A kind of foreign checkpoint; `use` is the name that it gives its model in the option `model_name`."""

    slot = "checkpoint"

    @abstractmethod
    def build(self, checkpoint: Checkpoint) -> ForeignModel:
        """Return the model with its weights, or raise CheckpointError."""
