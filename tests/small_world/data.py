"""Data sets and encoders that are made in no time, and feature rows that are drawn from names."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from amrbench.data.feature_source import EncoderFeatures, FeatureSource
from amrbench.slots.data import Dataset, DatasetPart, Recording
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.types import FeatureWidths, Query, Rows

CLASSES = 3
SECONDS = 12
"""Length of each recording with events."""
EVENT_RATE = 2
"""Samples a second of the recordings with events."""
NOISE_RATE = 100
WIDTHS = FeatureWidths(4, 3)

# ---------------------------------------------------------------- events, which a small model learns


class Events(DatasetPart):
    """Two events in each recording."""

    use = "toy"
    name: str = "target"
    recordings: int = 12

    def build(self) -> EventsDataset:
        return EventsDataset(self.name, self.recordings)


@dataclass(frozen=True)
class EventsDataset(Dataset):
    """Silence but for two events; a sample's value is the number of the class."""

    name: str
    recordings: int

    def splits(self) -> Sequence[str]:
        return ("train", "val", "test")

    def size(self, split: str) -> int:
        return self.recordings

    def recording(self, split: str, index: int) -> Recording:
        rng = np.random.default_rng((len(split), ord(split[0]), len(self.name), index))
        wave = np.zeros(SECONDS * EVENT_RATE, np.float32)
        vid, queries = f"{self.name}-{split}-{index}", []
        for half, number in enumerate(rng.permutation(CLASSES)[:2] + 1):
            start = 6 * half + int(rng.integers(0, 2))
            end = start + int(rng.integers(2, 5))
            wave[start * EVENT_RATE : end * EVENT_RATE] = number
            extra = {"kind": "early" if half == 0 else "late"}
            windows = ((float(start), float(end)),)
            queries.append(Query(f"{vid}-{half}", f"class {number}", vid, SECONDS, windows, extra))
        return Recording(vid, EVENT_RATE, wave, tuple(queries))

    def fingerprint(self) -> str:
        return f"toy {self.name} {self.recordings}"


class OneHot(FeaturesPart):
    """Knows the classes."""

    use = "one-hot"

    def build(self) -> OneHotEncoder:
        return OneHotEncoder("one-hot")


@dataclass(frozen=True)
class OneHotEncoder(FeatureBackend):
    """Gives the class of the event in each second."""

    name: str
    audio_width: int = CLASSES + 1
    text_width: int = CLASSES + 1
    rate: int = EVENT_RATE
    hop: float = 1.0

    def audio(self, waveform: Rows) -> Rows:
        return np.eye(self.audio_width, dtype=np.float32)[waveform[::EVENT_RATE].astype(int)]

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        return [np.eye(self.text_width, dtype=np.float32)[[int(sentence[-1])]] for sentence in sentences]

    def fingerprint(self) -> str:
        return self.name


class Absent(FeaturesPart):
    """An encoder that cannot be built; `one-hot` stands in for it."""

    use = "absent"

    def build(self) -> FeatureBackend:
        raise NotImplementedError


# ---------------------------------------------------------------- noise, with one defect on request


class Noise(DatasetPart):
    """Noise of 3 to 9 seconds, two queries each."""

    use = "toy"
    count: int = 20
    seed: int = 0
    defect: Literal["none", "nan", "stereo", "stranger", "silent", "twice", "short", "die"] = "none"
    rate: int = NOISE_RATE
    note: str = Field("", description="file to which each recording adds a line")

    def build(self) -> NoiseDataset:
        return NoiseDataset(self)


@dataclass(frozen=True)
class NoiseDataset(Dataset):
    """See `Noise`; the defect is that of recording 3, or of all."""

    part: Noise

    def splits(self) -> Sequence[str]:
        return ["train", "val"]

    def size(self, split: str) -> int:
        return self.part.count

    def recording(self, split: str, index: int) -> Recording:
        part = self.part
        if part.note:
            with Path(part.note).open("a", encoding="utf-8") as file:
                file.write(f"recording {index}\n")
        rng = np.random.default_rng((part.seed, len(split), index))
        seconds = int(rng.integers(3, 10))
        waveform = rng.normal(0, 0.1, (seconds * part.rate) + part.rate // 3).astype(np.float32)
        vid = f"{split} {index % 15}" if part.defect == "twice" else f"-é {split} {index}"
        about = vid
        if index == 3:
            if part.defect == "die":
                os._exit(9)
            changed = {"nan": waveform * np.nan, "stereo": waveform[None], "short": waveform[:60]}
            waveform = changed.get(part.defect, waveform)
            about = "another" if part.defect == "stranger" else vid
        windows = (((0.5, seconds + 1.0), (0.0, 0.25)), ((1.0, 2.5),))
        queries = [
            Query(
                f"{about}_{number}",
                f"sound {(index + 3 * number) % 7} ü now",
                about,
                float(seconds),
                windows[number],
                {"kind": "single"},
            )
            for number in (() if part.defect == "silent" else (0, 1))
        ]
        return Recording(vid, part.rate, waveform, tuple(queries))

    def fingerprint(self) -> str:
        return self.part.model_dump_json()


class Loudness(FeaturesPart):
    """Four numbers a second, three a word."""

    use = "toy-features"
    gain: float = Field(1.0, description="factor of the loudness")
    wait: float = Field(0.0, description="seconds that each recording takes")
    note: str = Field("", description="file to which each call adds a line")
    defect: Literal["none", "nan", "narrow", "empty", "fewer", "die"] = "none"

    def build(self) -> LoudnessEncoder:
        return LoudnessEncoder(self)


@dataclass(frozen=True)
class LoudnessEncoder(FeatureBackend):
    """Gives the loudness of each quarter of a second, and a hash of each word."""

    part: Loudness
    name: str = "toy-features"
    audio_width: int = 4
    text_width: int = 3
    rate: int = NOISE_RATE
    hop: float = 1.0

    def audio(self, waveform: Rows) -> Rows:
        self._note("audio")
        time.sleep(self.part.wait)
        if self.part.defect == "die":
            os._exit(9)
        seconds = len(waveform) // NOISE_RATE
        pieces = waveform[: seconds * NOISE_RATE].reshape(seconds, 4, -1)
        rows = (self.part.gain * pieces.std(axis=2)).astype(np.float32)
        changed: dict[str, Any] = {"nan": rows * np.nan, "narrow": rows[:, :2], "empty": rows[:0]}
        return changed.get(self.part.defect, rows)

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        for sentence in sentences:
            self._note(f"text {sentence}")
        rows = [np.stack([_word(word) for word in sentence.split()]) for sentence in sentences]
        return rows[1:] if self.part.defect == "fewer" else rows

    def fingerprint(self) -> str:
        return f"{self.part.defect} {self.part.gain:g}"

    def _note(self, line: str) -> None:
        if self.part.note:
            with Path(self.part.note).open("a", encoding="utf-8") as file:
                file.write(f"{line}\t{os.getpid()}\t{os.environ['OMP_NUM_THREADS']}\n")


def _word(word: str) -> Rows:
    return np.frombuffer(hashlib.sha256(word.encode()).digest()[:3], np.uint8).astype(np.float32)


# ---------------------------------------------------------------- rows without any audio


def drawn(name: str, count: int, width: int) -> Rows:
    """Return rows (count, width) that depend on the name."""
    rng = np.random.default_rng(list(name.encode()))
    return rng.normal(size=(count, width)).astype(np.float32)


@dataclass
class DrawnRows:
    """Rows in memory, which count how often they are verified."""

    by_name: dict[str, Rows]
    verified: list[list[str]] = field(default_factory=list)

    def rows(self, name: str) -> Rows:
        return self.by_name[name]

    def verify(self, names: Iterable[str]) -> None:
        self.verified.append(list(names))

    def length(self, name: str) -> int:
        return len(self.by_name[name])


def drawn_source(
    queries: Sequence[Query],
    name: str = "here",
    *,
    encoder: str = "toy",
    widths: FeatureWidths = WIDTHS,
    surplus: int = 0,
) -> FeatureSource:
    """Return a source with one row a second, 4 wide, and one row a word, 3 wide.

    Args:
        queries: Of the source.
        name: Its fingerprint.
        encoder: Name of the encoder.
        widths: That it claims to have.
        surplus: Audio rows that each recording has too many.
    """
    audio = {query.vid: drawn(query.vid, int(query.duration) + surplus, 4) for query in queries}
    text = {query.query: drawn(query.query, len(query.query.split()), 3) for query in queries}
    features = EncoderFeatures(
        location=f"/data/{name}",
        encoder=encoder,
        hop=1.0,
        widths=widths,
        fingerprint=name,
        audio=DrawnRows(audio),
        text=DrawnRows(text),
        text_by="sentence",
    )
    return FeatureSource(tuple(queries), (features,))
