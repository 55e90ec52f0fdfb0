"""The data that is passed between packages of the core and plugins.

Shapes have one alphabet: B batch, T audio frames, L words, D width, Q queries of the decoder,
H heads, N decoder layers, W windows. Masks are bool and True where real. A span is (centre, width) as
fractions of the audio in [0, 1]; a window is (start, end) in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from amrbench.content_hash import seed_from

if TYPE_CHECKING:
    from torch import Tensor

Rows = NDArray[np.float32]
"""Feature rows (n, D), samples of a waveform (n,), or moments (n, 3)."""
Floats = NDArray[np.float64]
Window = tuple[float, float]
"""Start and end in seconds."""
Tensors = Mapping[str, "Tensor"]
"""Tensors by name. A part says which it `provides` and a loss which it `requires`."""
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


@dataclass(frozen=True)
class Query:
    """One sentence about one recording, and the windows it describes.

    Attributes:
        qid: Identifier as written in the file; `7` and `"7"` count as the same.
        query: The sentence.
        vid: Identifier of the recording.
        duration: Length of the recording in seconds.
        windows: The ground truth, (start, end) in seconds, as published: in any order, possibly of length
            zero or past the end of the recording. Empty where it is not public.
        extra: All other keys of the line, unchanged.
    """

    qid: str | int
    query: str
    vid: str
    duration: float
    windows: tuple[Window, ...]
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, eq=False)
class Moments:
    """The moments predicted for one query, best first.

    Attributes:
        qid: Identifier of the query; `7` and `"7"` count as the same.
        vid: Identifier of the recording.
        windows: (N, 2) start and end in seconds; N may be 0.
        scores: (N,) one score for each window, higher is better, or None where only the order is known.
        query: The sentence, if the prediction file repeats it; otherwise empty.
    """

    qid: str | int
    vid: str
    windows: Floats
    scores: Floats | None = None
    query: str = ""

    def __post_init__(self) -> None:
        count = len(self.windows)
        if self.windows.shape != (count, 2):
            raise ValueError(f"windows have shape {self.windows.shape}, not (N, 2)")
        if self.scores is not None and self.scores.shape != (count,):
            raise ValueError(f"scores have shape {self.scores.shape} for {count} windows")


@dataclass(frozen=True, eq=False)
class Candidates:
    """The moments that were read out for one query, best first, while they are ranked.

    Attributes:
        moments: (N, 3) start and end in seconds, and score; N may be 0.
        evidence: (N,) numbers of each moment by name, which ranking steps may read; see `Proposals`.
    """

    moments: Rows
    evidence: Mapping[str, Rows] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.moments)

    def at(self, rows: Sequence[int] | NDArray[np.int64]) -> Candidates:
        """Return some of the moments, in this order."""
        chosen = np.asarray(rows, dtype=np.int64)
        return Candidates(
            self.moments[chosen], {name: column[chosen] for name, column in self.evidence.items()}
        )

    def with_scores(self, scores: Rows) -> Candidates:
        """Return the moments with new scores (N,), best first; equal scores keep their order."""
        moments = np.column_stack([self.moments[:, :2], scores]).astype(np.float32)
        return Candidates(moments, self.evidence).at(np.argsort(-moments[:, 2], kind="stable"))

    def with_windows(self, windows: Rows) -> Candidates:
        """Return the moments with other starts and ends (N, 2)."""
        moments = np.column_stack([windows, self.moments[:, 2:]]).astype(np.float32)
        return Candidates(moments, self.evidence)


Ranking = Callable[[Candidates, Query], Candidates]
"""A function of (candidates, query without its ground truth) to new candidates."""


@dataclass(frozen=True)
class Batch:
    """The input of a model for some queries."""

    audio: Tensor
    """(B, T, Da) feature rows, one for each hop; zero in padding."""
    audio_mask: Tensor
    """(B, T) True for real rows."""
    text: Tensor
    """(B, L, Dt) token features; zero in padding."""
    text_mask: Tensor
    """(B, L) True for real tokens."""
    recording: Tensor
    """(B,) integer; equal for queries about the same recording."""


@dataclass(frozen=True)
class Target:
    """The ground truth of some queries; only losses and the matcher may read it."""

    spans: Tensor
    """(B, W, 2) centre and width as fractions of the audio."""
    spans_mask: Tensor
    """(B, W) True for real spans."""
    relevant: Tensor
    """(B, T) True for frames inside a window that counts for saliency."""
    positives: Tensor
    """(B, P) frames drawn from the relevant ones."""
    negatives: Tensor
    """(B, P) frames drawn from the others."""


@dataclass(frozen=True)
class Encoded:
    """The result of everything in a model before the decoder."""

    state: Any
    """Whatever `decode` of the same model needs; nothing else reads it."""
    tensors: Tensors
    """Provided by the parts before the decoder."""
    views: Mapping[str, Tensors] = field(default_factory=dict)
    """The same for each requested view of the batch, by its name."""


@dataclass(frozen=True)
class Outputs:
    """All that a model says about some queries, without ground truth, for read-outs."""

    tensors: Tensors
    """Provided by the model."""
    mask: Tensor
    """(B, T) True for real frames, which come first."""


@dataclass(frozen=True)
class Proposals:
    """Moments that a read-out proposes for some queries, in any order."""

    spans: Tensor
    """(B, N, 2) centre and width as fractions of the audio."""
    scores: Tensor
    """(B, N) higher is better; -inf where a query has fewer than N proposals."""
    evidence: Tensors = field(default_factory=dict)
    """(B, N) each, by name: what else is known of a proposal, for ranking steps."""


@dataclass(frozen=True)
class Outcome:
    """Everything that a loss may read."""

    batch: Batch
    target: Target
    tensors: Tensors
    """Provided by the model for the batch itself."""
    views: Mapping[str, Tensors]
    """Provided by the model for other views of the batch, e.g. with mismatched texts."""
    matched: Tensor
    """(N, B, W) index of the decoder query matched to each true span, -1 for none."""
    step: int = 0
    """Index of the optimizer step in the stage, from 0; the same if its losses are computed again."""


@dataclass(frozen=True)
class Losses:
    """The sum that is minimised, and its terms with their weights applied.

    Scalars, or (K,) with one value for each model of an array.
    """

    total: Tensor
    terms: Tensors


@dataclass(frozen=True)
class FeatureWidths:
    """Widths of the input features."""

    audio: int
    text: int


@dataclass(frozen=True)
class BuildContext:
    """What `build` may read besides the options of the part."""

    features: FeatureWidths
    seed: int = 0
    input_dropout: float = 0.0
    window_widths: tuple[float, ...] = ()
    """Widths of all training windows as fractions of their recordings; for initialisation by statistics."""
    path: str = "model"
    """Path of the slot that is built, e.g. "model.query.anchors"; its initial weights depend on it."""

    def at(self, path: str) -> BuildContext:
        """Return the context of a slot inside this slot."""
        return replace(self, path=f"{self.path}.{path}")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw initial weights from a random state that depends on the seed and this path alone.

        Replacing one part must not change the initial weights of the others; otherwise an ablation would
        compare two initialisations. The global random state is restored.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_from(self.seed, self.path))
            yield


@dataclass(frozen=True)
class TrainingLength:
    """How long a stage trains, and how its gradients are clipped.

    Lengths of schedules and averages are fractions of it.
    """

    epochs: int
    steps_per_epoch: int
    clip: float
    """Largest gradient norm of a step; 0 for no clipping."""
    array: bool = False
    """Whether several models are trained at once: then each tensor has one more axis in front, and so has the
    total of the losses. Only for optimizers that say so: `OptimizerPart.updates_arrays`."""

    @property
    def steps(self) -> int:
        """Return the number of optimizer steps of the stage."""
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True)
class Checkpoint:
    """The content of a foreign weights file: tensors on the CPU by name, and the options of the training."""

    path: Path
    weights: dict[str, Tensor]
    options: dict[str, Plain]
