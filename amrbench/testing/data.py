"""The contracts of encoders, data sets, targets and augmentation."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch

from amrbench.data.collate import Labeller, collate_targets, make_targets
from amrbench.errors import DataError
from amrbench.interfaces import brief
from amrbench.part import Part
from amrbench.required_files import missing_files
from amrbench.slots.data import AugmentPart, Dataset, DatasetPart, Labels, TargetsPart
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.testing.small_data import ContractFixture, expect, make_query, make_recordings
from amrbench.types import Rows

_SENTENCES = ("a dog barks", "", "heavy rain falls on a roof while somebody whistles in the distance")
_QUERIES = (
    make_query((3.0, 8.0)),
    make_query((12.5, 19.0), (1.0, 4.5)),
    make_query((4.0, 4.3)),
    make_query((0.0, 20.0)),
    make_query((18.0, 20.0), (2.0, 3.0), (5.0, 6.0), (9.0, 11.0), (13.0, 13.5), (15.0, 16.0)),
)


def check_features(part: Part, fixture: ContractFixture) -> None:
    """Check rows, tokens and fingerprint, and that rows and tokens depend on their input alone.

    An encoder whose files are missing passes if its sizes are known and it raises DataError with their paths.
    """
    who, part = f"features {part.use!r}", cast("FeaturesPart", part)
    backend, again = part.build(), part.build()
    expect(bool(backend.name) and backend.rate > 0 and backend.hop > 0, f"{who}: name, rate or hop is empty.")
    expect(backend.audio_width > 0 and backend.text_width > 0, f"{who}: a width is not above 0.")
    missing = missing_files(part.required_files())
    try:
        fingerprint = backend.fingerprint()
    except DataError as error:
        expect(bool(missing), f"{who}: it cannot be used, but required_files() names no missing file.")
        named = str(missing[0].path) in str(error)
        expect(named, f"{who}: its message does not name the path of its {missing[0].what}.")
        return
    _check_audio(backend, again, who)
    _check_text(backend, again, who)
    _check_audio(backend, again, who)  # Also after sentences.
    same = fingerprint == again.fingerprint() != ""
    expect(same, f"{who}: its fingerprint is empty or changes from build to build.")


def _check_audio(backend: FeatureBackend, again: FeatureBackend, who: str) -> None:
    rng = np.random.default_rng(0)
    for hops in (1.0, 2.9, 5.0):
        waveform = (0.1 * rng.standard_normal(round(hops * backend.hop * backend.rate))).astype(np.float32)
        before = waveform.copy()
        rows = backend.audio(waveform)
        _check_kind(rows, f"{who}: audio")
        shape = (math.floor(hops + 1e-9), backend.audio_width)
        expect(
            rows.shape == shape,
            f"{who}: {hops:g} hops of audio give {rows.shape}, not {shape} (floor of seconds / hop rows).",
        )
        _check_array(rows, f"{who}: audio rows")
        expect(np.array_equal(waveform, before), f"{who}: it writes into the waveform. Change a copy.")
        for encoder in (backend, again):
            same = np.array_equal(encoder.audio(before), rows)
            expect(same, f"{who}: the same audio gives other rows. Keep no state, and draw nothing.")


def _check_text(backend: FeatureBackend, again: FeatureBackend, who: str) -> None:
    batch = backend.text(_SENTENCES)
    expect(len(batch) == len(_SENTENCES), f"{who}: {len(_SENTENCES)} sentences give {len(batch)} arrays.")
    for sentence, tokens in zip(_SENTENCES, batch, strict=True):
        _check_kind(tokens, f"{who}: the tokens of {sentence!r}")
        fits = tokens.ndim == 2 and tokens.shape[0] >= 1 and tokens.shape[1] == backend.text_width
        expect(fits, f"{who}: {sentence!r} gives {tokens.shape}, not (L, {backend.text_width}) with L >= 1.")
        _check_array(tokens, f"{who}: tokens of {sentence!r}")
        alone = again.text([sentence])[0]
        same = alone.shape == tokens.shape and np.allclose(alone, tokens, atol=1e-5)
        expect(same, f"{who}: the tokens of {sentence!r} depend on the other sentences.")


def _check_kind(rows: object, what: str) -> None:
    expect(isinstance(rows, np.ndarray), f"{what} is {brief(rows)}, not an array.")


def _check_array(rows: Rows, what: str) -> None:
    expect(rows.dtype == np.float32, f"{what} are {rows.dtype}, not float32.")
    expect(bool(np.isfinite(rows).all()), f"{what} are not finite.")


def check_dataset(part: Part, fixture: ContractFixture) -> None:
    """Check that a recording does not depend on those read before, and that its queries fit it.

    A data set whose files are missing passes if it raises DataError with a text.
    """
    who, part = f"dataset {part.use!r}", cast("DatasetPart", part)
    try:
        _check_recordings(part.build(), part.build(), who)
    except DataError as error:
        expect(bool(str(error)), f"{who}: its DataError has no text.")


def _check_recordings(data: Dataset, again: Dataset, who: str) -> None:
    splits = list(data.splits())
    expect(bool(splits) and len(set(splits)) == len(splits), f"{who}: its splits are {splits}.")
    expect(data.fingerprint() == again.fingerprint() != "", f"{who}: its fingerprint is empty or changes.")
    split, last = splits[0], data.size(splits[0]) - 1
    expect(last >= 0, f"{who}: the split {split!r} has no recording.")
    recording = data.recording(split, 0)
    again.recording(split, last)
    other = again.recording(split, 0)
    one, two = ((clip.vid, clip.rate, tuple(clip.queries)) for clip in (recording, other))
    same = one == two and np.array_equal(recording.waveform, other.waveform)
    expect(same, f"{who}: a recording depends on which were read before.")
    waveform, seconds = recording.waveform, len(recording.waveform) / recording.rate
    expect(waveform.ndim == 1 and waveform.dtype == np.float32, f"{who}: a waveform is not mono float32.")
    expect(bool(np.abs(waveform).max(initial=0) <= 1), f"{who}: a waveform leaves [-1, 1].")
    expect(len(recording.queries) > 0, f"{who}: {recording.vid!r} has no query.")
    for query in recording.queries:
        expect(query.vid == recording.vid, f"{who}: {recording.vid!r} has a query about {query.vid!r}.")
        fits = abs(query.duration - seconds) < 1.0
        expect(fits, f"{who}: a query says {query.duration} s, not {seconds} s.")


def check_targets(part: Part, fixture: ContractFixture) -> None:
    """Check shapes and ranges of labels, and that they depend on the generator alone, also in a batch."""
    who, part = f"targets {part.use!r}", cast("TargetsPart", part)
    label, names = part.build(), ("spans", "relevant", "positives", "negatives")
    first = [label(query, 20, 1.0, np.random.default_rng(0)) for query in _QUERIES]
    for query, labels in reversed(list(zip(_QUERIES, first, strict=True))):  # Each has others before it now.
        missing = [name for name in names if not hasattr(labels, name)]
        expect(not missing, f"{who}: it returns {brief(labels)} without {', '.join(missing)}.")
        _check_labels(labels, 20, f"{who}, windows {list(query.windows)}")
        again = label(query, 20, 1.0, np.random.default_rng(0))
        for name in names:
            same = np.array_equal(getattr(labels, name), getattr(again, name))
            expect(same, f"{who}: the same random generator gives other labels ({name}). Keep no state.")
    _check_batch(label, who)


def _check_batch(label: Labeller, who: str) -> None:
    frames = [20, 15, 20, 25, 20]
    one, two = ([np.random.default_rng(seed) for seed in range(len(frames))] for _ in range(2))
    target = make_targets(label, _QUERIES, frames, 1.0, one)
    calls = [label(query, count, 1.0, rng) for query, count, rng in zip(_QUERIES, frames, two, strict=True)]
    for name, expected in vars(collate_targets(calls, max(frames))).items():
        same = torch.equal(getattr(target, name), expected)
        expect(same, f"{who}: its of_batch gives other {name} than one call for each query.")
    drawn = [first.random() == second.random() for first, second in zip(one, two, strict=True)]
    expect(all(drawn), f"{who}: its of_batch draws other random numbers than one call for each query.")


def _check_labels(labels: Labels, frames: int, who: str) -> None:
    spans = labels.spans
    expect(spans.ndim == 2 and spans.shape[1] == 2 and len(spans) > 0, f"{who}: spans are {spans.shape}.")
    expect(bool(((spans >= 0) & (spans <= 1)).all()), f"{who}: a span leaves [0, 1]: {spans.tolist()}.")
    fits = labels.relevant.shape == (frames,) and labels.relevant.dtype == np.bool_
    expect(fits, f"{who}: relevant is {labels.relevant.dtype} of {labels.relevant.shape}.")
    for name, drawn in (("positives", labels.positives), ("negatives", labels.negatives)):
        inside = drawn.ndim == 1 and bool(((drawn >= 0) & (drawn < frames)).all())
        expect(inside, f"{who}: {name} are not frames of this recording: {drawn.tolist()}.")
    paired = len(labels.positives) == len(labels.negatives)
    expect(paired, f"{who}: {len(labels.positives)} positives, but {len(labels.negatives)} negatives.")


def check_augment(part: Part, fixture: ContractFixture) -> None:
    """Check that new rows and query fit each other, and that no given rows are changed."""
    who, part = f"augment {part.use!r}", cast("AugmentPart", part)
    recordings, plain = make_recordings(*_QUERIES), make_recordings(*_QUERIES)
    change = part.build(recordings)
    rows = recordings.audio_rows(0)
    before = rows.copy()
    for seed, query in enumerate(_QUERIES):
        changed = change(rows, query, 1.0, np.random.default_rng(seed))
        pair = isinstance(changed, tuple) and len(changed) == 2
        expect(pair, f"{who}: it returns {brief(changed)}, not rows and a query.")
        new, new_query = changed
        expect(np.array_equal(rows, before), f"{who}: it writes into the rows that it is given. Copy them.")
        fits = new.ndim == 2 and new.shape[1] == rows.shape[1] and new.dtype == rows.dtype
        expect(fits, f"{who}: {rows.dtype} rows {rows.shape} become {new.dtype} {new.shape}.")
        expect(len(new_query.windows) > 0, f"{who}: it leaves a query without windows.")
        for start, end in new_query.windows:
            inside = 0 <= start <= end <= min(new_query.duration, len(new)) + 1e-6
            expect(inside, f"{who}: the window ({start:g}, {end:g}) leaves the {len(new)} rows.")
        again, _ = change(rows, query, 1.0, np.random.default_rng(seed))
        same = np.array_equal(again, new)
        expect(same, f"{who}: the same random generator gives other rows. Draw from it alone.")
    kept = all(map(np.array_equal, (*recordings.audio, *recordings.words), (*plain.audio, *plain.words)))
    expect(kept, f"{who}: it writes into other recordings. Copy their rows.")
