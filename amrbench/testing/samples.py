"""Small made-up data for tests: batches, targets, queries, and parts with options to try them with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from amrbench.part import Part
from amrbench.registry import Registry
from amrbench.slots.model import ModelPart
from amrbench.types import Batch, BuildContext, FeatureWidths, Query, Target

WIDTHS = FeatureWidths(audio=12, text=10)
CONTEXT = BuildContext(WIDTHS, window_widths=(0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6))


@dataclass(frozen=True)
class ContractFixture:
    """What a contract may need besides the part itself."""

    registry: Registry
    models: tuple[ModelPart, ...] = ()
    """Models that provide tensors for losses and matchers, tried after those of the registry."""


def make_batch(
    frames: tuple[int, ...] = (14, 9, 14, 11),
    words: tuple[int, ...] = (5, 3, 1, 4),
    *,
    widths: FeatureWidths = WIDTHS,
    seed: int = 0,
) -> Batch:
    """Return a batch of one row for each pair of lengths; the last two rows ask about one recording."""
    generator = torch.Generator().manual_seed(seed)
    audio_mask, text_mask = _mask(frames), _mask(words)
    audio = torch.randn(*audio_mask.shape, widths.audio, generator=generator)
    text = torch.randn(*text_mask.shape, widths.text, generator=generator)
    recording = torch.arange(len(frames))
    recording[-1] = recording[max(0, len(frames) - 2)]
    return Batch(audio * audio_mask[..., None], audio_mask, text * text_mask[..., None], text_mask, recording)


def make_target(batch: Batch) -> Target:
    """Return targets: a window around 1/4 of each row, and one around 3/4 of every other."""
    rows, count = batch.audio_mask.shape[0], batch.audio_mask.sum(1)
    spans = torch.tensor([[0.25, 0.25], [0.75, 0.25]]).repeat(rows, 1, 1)
    spans_mask = torch.tensor([[True, row % 2 == 0] for row in range(rows)])
    places = (torch.arange(batch.audio_mask.shape[1])[None] + 0.5) / count[:, None]
    inside = ((places[:, None] - spans[..., :1]).abs() < spans[..., 1:] / 2) & spans_mask[..., None]
    relevant = inside.any(1) & batch.audio_mask
    return Target(
        spans * spans_mask[..., None],
        spans_mask,
        relevant,
        positives=_two(relevant),
        negatives=_two(~relevant & batch.audio_mask),
    )


def make_query(*windows: tuple[float, float], duration: float = 20.0) -> Query:
    """Return a query about a recording of 20 seconds."""
    return Query("q1", "a dog barks", "v1", duration, windows or ((3.0, 8.0),))


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
    """Return the target with more padded frames and windows."""
    return replace(
        target,
        spans=functional.pad(target.spans, (0, 0, 0, windows)),
        spans_mask=functional.pad(target.spans_mask, (0, windows)),
        relevant=functional.pad(target.relevant, (0, frames)),
    )


def pick_rows(batch: Batch, rows: list[int]) -> Batch:
    """Return some rows of a batch, in this order, without touching its padding."""
    return Batch(
        batch.audio[rows],
        batch.audio_mask[rows],
        batch.text[rows],
        batch.text_mask[rows],
        batch.recording[rows],
    )


def pick_targets(target: Target, rows: list[int]) -> Target:
    """Return some rows of a target, in this order."""
    return Target(
        target.spans[rows],
        target.spans_mask[rows],
        target.relevant[rows],
        target.positives[rows],
        target.negatives[rows],
    )


def sample(part: type[Part], registry: Registry) -> Part:
    """Return the part with the options of its `example`, which may be none.

    Raises:
        AssertionError: it has required options and no example for them.
    """
    try:
        return part.model_validate(dict(part.example), context=registry)
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise AssertionError(
            f"{part.slot} {part.use!r} cannot be tried: {lines} Let it declare `example`, options to try."
        ) from None


def expect(true: bool, what: str) -> None:
    """Raise AssertionError with a text unless something is true.

    A function, because `assert` is silent under `python -O` and its message is code.
    """
    if not true:
        raise AssertionError(what)


def close(one: Tensor, other: Tensor, *, within: float = 1e-5) -> bool:
    """Say whether two tensors have one shape and differ by no more than `within`."""
    return one.shape == other.shape and bool(((one - other).abs() <= within).all())


def _mask(lengths: tuple[int, ...]) -> Tensor:
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def _two(frames: Tensor) -> Tensor:
    """Return the first and the last True of each row (B, T), as (B, 2)."""
    last = frames.shape[1] - 1 - frames.flip(1).long().argmax(1)
    return torch.stack([frames.long().argmax(1), last], 1)
