"""Small data for tests: batches, targets, queries, and parts with options to try."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from amrbench.errors import dotted
from amrbench.part import Part
from amrbench.registry import Registry
from amrbench.slots.model import ModelPart
from amrbench.types import Batch, BuildContext, FeatureWidths, Query, Rows, Target

D = TypeVar("D", Batch, Target)
WIDTHS = FeatureWidths(audio=12, text=10)
CONTEXT = BuildContext(WIDTHS, window_widths=(0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6))


@dataclass(frozen=True)
class ContractFixture:
    """What a contract may use besides the part itself."""

    registry: Registry
    models: tuple[ModelPart, ...] = ()
    """Models to try blocks, losses and matchers with, after those of the registry."""

    def samples(self, slot: str) -> list[Any]:
        """Return the parts of a slot in the registry, as `sample` does."""
        return [sample(self.registry.find(slot, use), self.registry) for use in self.registry.names(slot)]

    def all_models(self) -> list[ModelPart]:
        """Return the models of the registry, then `models`."""
        return [*self.samples("model"), *self.models]


def make_batch(
    frames: tuple[int, ...] = (14, 9, 14, 11),
    words: tuple[int, ...] = (5, 3, 1, 4),
) -> Batch:
    """Return a batch with one row for each pair of lengths; the last two rows share a recording."""
    generator = torch.Generator().manual_seed(0)
    audio_mask, text_mask = _mask(frames), _mask(words)
    audio = torch.randn(*audio_mask.shape, WIDTHS.audio, generator=generator)
    text = torch.randn(*text_mask.shape, WIDTHS.text, generator=generator)
    recording = torch.arange(len(frames))
    recording[-1] = recording[max(0, len(frames) - 2)]
    return Batch(audio * audio_mask[..., None], audio_mask, text * text_mask[..., None], text_mask, recording)


def make_target(batch: Batch) -> Target:
    """Return targets: a span around 1/4 of each recording, and one around 3/4 of every other."""
    rows, count = batch.audio_mask.shape[0], batch.audio_mask.sum(1)
    spans = torch.tensor([[0.25, 0.25], [0.75, 0.25]]).repeat(rows, 1, 1)
    spans_mask = torch.tensor([[True, row % 2 == 0] for row in range(rows)])
    centres = (torch.arange(batch.audio_mask.shape[1])[None] + 0.5) / count[:, None]  # (B, T) of frames
    inside = ((centres[:, None] - spans[..., :1]).abs() < spans[..., 1:] / 2) & spans_mask[..., None]
    relevant = inside.any(1) & batch.audio_mask
    return Target(
        spans * spans_mask[..., None],
        spans_mask,
        relevant,
        positives=_first_and_last(relevant),
        negatives=_first_and_last(~relevant & batch.audio_mask),
    )


def make_query(*windows: tuple[float, float]) -> Query:
    """Return a query about a recording of 20 seconds; by default its window is from 3 to 8 seconds."""
    return Query("q1", "a dog barks", "v1", 20.0, windows or ((3.0, 8.0),))


@dataclass(frozen=True)
class SmallRecordings:
    """What an augmentation is built with (`amrbench.slots.data.Recordings`), one item for each query."""

    queries: tuple[Query, ...]
    audio: tuple[Rows, ...]
    words: tuple[Rows, ...]

    def audio_rows(self, index: int) -> Rows:
        """Return the audio rows (T, Da) of the recording of a query."""
        return self.audio[index]

    def word_rows(self, index: int) -> Rows:
        """Return the words (L, Dt) of a query."""
        return self.words[index]


def make_recordings(*queries: Query) -> SmallRecordings:
    """Return the given queries and two about each of six other recordings, with noise as features.

    Recordings have a row of 6 numbers for each second, sentences have 3 words of 5 numbers.
    """
    others = (
        Query(f"other {number}", "rain", f"other {number // 2}", 10.0 + number // 2, ((2.0, 4.0),))
        for number in range(12)
    )
    known = (*queries, *others)
    generator = np.random.default_rng(1)
    seconds = {query.vid: int(query.duration) for query in known}
    audio = {vid: generator.standard_normal((rows, 6)).astype(np.float32) for vid, rows in seconds.items()}
    words = tuple(generator.standard_normal((3, 5)).astype(np.float32) for _ in known)
    return SmallRecordings(known, tuple(audio[query.vid] for query in known), words)


def pad_batch(batch: Batch, *, frames: int = 0, words: int = 0) -> Batch:
    """Return the batch with more padded frames and words."""
    return replace(
        batch,
        audio=functional.pad(batch.audio, (0, 0, 0, frames)),
        audio_mask=functional.pad(batch.audio_mask, (0, frames)),
        text=functional.pad(batch.text, (0, 0, 0, words)),
        text_mask=functional.pad(batch.text_mask, (0, words)),
    )


def pad_target(target: Target, *, frames: int = 0, windows: int = 0) -> Target:
    """Return the target with more padded frames and spans."""
    return replace(
        target,
        spans=functional.pad(target.spans, (0, 0, 0, windows)),
        spans_mask=functional.pad(target.spans_mask, (0, windows)),
        relevant=functional.pad(target.relevant, (0, frames)),
    )


def pick_rows(data: D, rows: list[int]) -> D:
    """Return some rows of a batch or target, in this order, with the same padding."""
    return type(data)(*(getattr(data, field.name)[rows] for field in fields(data)))


def sample(part: type[Part], registry: Registry) -> Part:
    """Return the part with the options of its `example`, or with its defaults.

    Raises:
        AssertionError: A required option is not in its example.
    """
    try:
        return part.model_validate(dict(part.example), context=registry)
    except ValidationError as error:
        mistakes = "; ".join(f"{dotted(mistake['loc'])}: {mistake['msg']}" for mistake in error.errors())
        raise AssertionError(
            f"{part.slot} {part.use!r} cannot be tried: {mistakes} Declare `example`, a mapping of options."
        ) from None


def expect(condition: bool, text: str) -> None:
    """Raise AssertionError with a text unless a condition holds.

    Unlike an `assert` statement, it also works under `python -O`.
    """
    if not condition:
        raise AssertionError(text)


def close(one: Tensor, other: Tensor, *, within: float = 1e-5) -> bool:
    """Whether two tensors have the same shape and differ by at most `within`."""
    return one.shape == other.shape and bool(((one - other).abs() <= within).all())


def _mask(lengths: tuple[int, ...]) -> Tensor:
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def _first_and_last(frames: Tensor) -> Tensor:
    """Return the first and the last True of each row (B, T), as (B, 2)."""
    last = frames.shape[1] - 1 - frames.flip(1).long().argmax(1)
    return torch.stack([frames.long().argmax(1), last], 1)
