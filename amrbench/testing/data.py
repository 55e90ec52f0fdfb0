"""What holds for every encoder, data set, kind of target and augmentation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from amrbench.errors import DataError
from amrbench.part import Part
from amrbench.required_files import missing_files
from amrbench.slots.data import AugmentPart, Dataset, DatasetPart, Labels, Recording, TargetsPart
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.testing.samples import ContractFixture, expect, make_query
from amrbench.types import Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amrbench.types import Rows

SENTENCES = ("a dog barks", "", "heavy rain falls on a roof while somebody whistles in the distance")


def check_features(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check rows and tokens of an encoder, that they depend on nothing else, and the fingerprint.

    An encoder whose files are not at hand passes if it says so, and knows its sizes all the same.
    """
    who, part = f"features {part.use!r}", cast("FeaturesPart", part)
    backend, again = part.build(), part.build()
    expect(bool(backend.name) and backend.rate > 0 and backend.hop > 0, f"{who}: name, rate or hop is empty.")
    expect(backend.audio_width > 0 and backend.text_width > 0, f"{who}: a width is not above 0.")
    lacking = missing_files(part.required_files())
    try:
        mark = backend.fingerprint()
    except DataError as error:
        expect(bool(lacking), f"{who}: it cannot be used, but required_files() finds nothing missing_files.")
        said = all(str(file.path) in str(error) for file in lacking[:1])
        expect(said, f"{who}: its message does not say where {lacking[0].what} were looked for.")
        return
    _check_audio(backend, again, who)
    _check_text(backend, again, who)
    same = mark == again.fingerprint() != ""
    expect(same, f"{who}: its fingerprint is empty or changes from build to build.")


def _check_audio(backend: FeatureBackend, again: FeatureBackend, who: str) -> None:
    rng = np.random.default_rng(0)
    for hops in (1.0, 2.9, 5.0):
        waveform = (0.1 * rng.standard_normal(round(hops * backend.hop * backend.rate))).astype(np.float32)
        kept = waveform.copy()
        rows = backend.audio(waveform)
        wanted = (math.floor(hops + 1e-9), backend.audio_width)
        expect(
            rows.shape == wanted,
            f"{who}: {hops:g} hops of audio give {rows.shape}, not {wanted} (floor of seconds / hop rows).",
        )
        _check_array(rows, f"{who}: audio rows")
        expect(np.array_equal(waveform, kept), f"{who}: it writes into the waveform.")
        expect(np.array_equal(again.audio(kept), rows), f"{who}: the same audio gives other rows.")


def _check_text(backend: FeatureBackend, again: FeatureBackend, who: str) -> None:
    together = backend.text(SENTENCES)
    expect(len(together) == len(SENTENCES), f"{who}: {len(SENTENCES)} sentences give {len(together)} arrays.")
    for sentence, tokens in zip(SENTENCES, together, strict=True):
        fits = tokens.ndim == 2 and tokens.shape[0] >= 1 and tokens.shape[1] == backend.text_width
        expect(fits, f"{who}: {sentence!r} gives {tokens.shape}, not (L, {backend.text_width}) with L >= 1.")
        _check_array(tokens, f"{who}: tokens of {sentence!r}")
        alone = again.text([sentence])[0]
        same = alone.shape == tokens.shape and np.allclose(alone, tokens, atol=1e-5)
        expect(same, f"{who}: the tokens of {sentence!r} depend on the other sentences.")


def _check_array(rows: Rows, what: str) -> None:
    expect(rows.dtype == np.float32, f"{what} are {rows.dtype}, not float32.")
    expect(bool(np.isfinite(rows).all()), f"{what} are not finite.")


def check_dataset(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check that recordings are the same whatever was asked before, and that queries fit them.

    A data set whose files are not at hand passes if it says so.
    """
    who, part = f"dataset {part.use!r}", cast("DatasetPart", part)
    try:
        _check_recordings(part.build(), part.build(), who)
    except DataError as error:
        expect(bool(str(error)), f"{who}: it does not say what is missing_files.")


def _check_recordings(data: Dataset, again: Dataset, who: str) -> None:
    splits = list(data.splits())
    expect(bool(splits) and len(set(splits)) == len(splits), f"{who}: its splits are {splits}.")
    expect(data.fingerprint() == again.fingerprint() != "", f"{who}: its fingerprint is empty or changes.")
    split, last = splits[0], data.size(splits[0]) - 1
    expect(last >= 0, f"{who}: the split {split!r} has no recording.")
    first = data.recording(split, 0)
    again.recording(split, last)
    _check_same(first, again.recording(split, 0), who)
    _check_recording(first, who)


def _check_same(one: Recording, other: Recording, who: str) -> None:
    same = (one.vid, one.rate, tuple(one.queries)) == (other.vid, other.rate, tuple(other.queries))
    expect(
        same and np.array_equal(one.waveform, other.waveform),
        f"{who}: a recording depends on which were asked for before.",
    )


def _check_recording(recording: Recording, who: str) -> None:
    waveform, seconds = recording.waveform, len(recording.waveform) / recording.rate
    expect(waveform.ndim == 1 and waveform.dtype == np.float32, f"{who}: a waveform is not mono float32.")
    expect(bool(np.abs(waveform).max(initial=0) <= 1), f"{who}: a waveform leaves [-1, 1].")
    expect(len(recording.queries) > 0, f"{who}: nobody asks about {recording.vid!r}.")
    for query in recording.queries:
        expect(query.vid == recording.vid, f"{who}: {recording.vid!r} has a query about {query.vid!r}.")
        expect(
            abs(query.duration - seconds) < 1.0, f"{who}: a query says {query.duration} s, not {seconds} s."
        )


CASES = (
    make_query((3.0, 8.0)),
    make_query((12.5, 19.0), (1.0, 4.5)),
    make_query((4.0, 4.3)),
    make_query((0.0, 20.0)),
    make_query((18.0, 20.0), (2.0, 3.0), (5.0, 6.0), (9.0, 11.0), (13.0, 13.5), (15.0, 16.0)),
)


def check_targets(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check shapes and ranges of labels, and that the random generator is their only source of chance."""
    who, part = f"targets {part.use!r}", cast("TargetsPart", part)
    label = part.build()
    for query in CASES:
        labels = label(query, 20, 1.0, np.random.default_rng(0))
        _check_labels(labels, 20, f"{who}, windows {list(query.windows)}")
        again = label(query, 20, 1.0, np.random.default_rng(0))
        same = all(np.array_equal(getattr(labels, name), getattr(again, name)) for name in _LABELS)
        expect(same, f"{who}: the same random generator gives other labels.")


_LABELS = ("spans", "relevant", "positives", "negatives")


def _check_labels(labels: Labels, frames: int, who: str) -> None:
    spans = labels.spans
    expect(spans.ndim == 2 and spans.shape[1] == 2 and len(spans) > 0, f"{who}: spans are {spans.shape}.")
    expect(bool(((spans >= 0) & (spans <= 1)).all()), f"{who}: a span leaves [0, 1]: {spans.tolist()}.")
    fits = labels.relevant.shape == (frames,) and labels.relevant.dtype == np.bool_
    expect(fits, f"{who}: relevant is {labels.relevant.dtype} of {labels.relevant.shape}.")
    for name in ("positives", "negatives"):
        drawn: NDArray[np.int64] = getattr(labels, name)
        inside = drawn.ndim == 1 and bool(((drawn >= 0) & (drawn < frames)).all())
        expect(inside, f"{who}: {name} are no frames of this recording: {drawn.tolist()}.")
    expect(len(labels.positives) == len(labels.negatives), f"{who}: more positives than negatives, or fewer.")


def check_augment(part: Part, fixture: ContractFixture) -> None:  # noqa: ARG001 - a contract
    """Check that rows and query still fit each other, and that nothing is written into."""
    who, part = f"augment {part.use!r}", cast("AugmentPart", part)
    change = part.build()
    rows = np.random.default_rng(1).standard_normal((20, 6)).astype(np.float32)
    kept = rows.copy()
    for seed, query in enumerate(CASES):
        new, asked = change(rows, query, 1.0, np.random.default_rng(seed))
        expect(np.array_equal(rows, kept), f"{who}: it writes into the rows that it is given.")
        fits = new.ndim == 2 and new.shape[1] == rows.shape[1] and new.dtype == rows.dtype
        expect(fits, f"{who}: {rows.dtype} rows {rows.shape} become {new.dtype} {new.shape}.")
        _check_windows(asked, len(new), who)
        again, _ = change(rows, query, 1.0, np.random.default_rng(seed))
        expect(np.array_equal(again, new), f"{who}: the same random generator gives other rows.")


def _check_windows(query: Query, frames: int, who: str) -> None:
    expect(len(query.windows) > 0, f"{who}: it leaves a query without windows.")
    for start, end in query.windows:
        inside = 0 <= start <= end <= min(query.duration, frames) + 1e-6
        expect(inside, f"{who}: the window ({start:g}, {end:g}) leaves the {frames} rows.")
