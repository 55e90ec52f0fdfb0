"""A data set and an encoder that are made in no time, for tests of what lies between them and a batch."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from amrbench.slots.data import Dataset, DatasetPart
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench.types import Query

Rows = NDArray[np.float32]
RATE = 100


@dataclass(frozen=True)
class ToyRecording:
    vid: str
    rate: int
    waveform: Rows
    queries: tuple[Query, ...]


class ToySet(DatasetPart):
    """Noise of 3 to 9 seconds, two queries each."""

    use = "toy"
    count: int = 20
    seed: int = 0
    defect: Literal["none", "nan", "stereo", "stranger", "silent", "twice", "short", "die"] = "none"
    rate: int = RATE

    def build(self) -> Dataset:
        return ToyWorld(self)


@dataclass(frozen=True)
class ToyWorld:
    part: ToySet

    def splits(self) -> Sequence[str]:
        return ["train", "val"]

    def size(self, split: str) -> int:
        return self.part.count

    def recording(self, split: str, index: int) -> ToyRecording:
        part = self.part
        rng = np.random.default_rng((part.seed, len(split), index))
        seconds = int(rng.integers(3, 10))
        waveform = rng.normal(0, 0.1, (seconds * part.rate) + part.rate // 3).astype(np.float32)
        vid = f"-é {split} {index}"
        if part.defect == "die" and index == 3:
            os._exit(9)
        if index == 3:
            changed = {"nan": waveform * np.nan, "stereo": waveform[None], "short": waveform[:60]}
            waveform = changed.get(part.defect, waveform)
        if part.defect == "twice":
            vid = f"{split} {index % 15}"
        about = "another" if part.defect == "stranger" and index == 3 else vid
        queries = [] if part.defect == "silent" else [_query(about, n, index, seconds) for n in (0, 1)]
        return ToyRecording(vid, part.rate, waveform, tuple(queries))

    def fingerprint(self) -> str:
        return self.part.model_dump_json()


def _query(vid: str, number: int, index: int, seconds: int) -> Query:
    text = f"sound {(index + 3 * number) % 7} ü now"
    windows = ((1.0, 2.5),) if number else ((0.5, seconds + 1.0), (0.0, 0.25))
    return Query(f"{vid}_{number}", text, vid, float(seconds), windows, {"kind": "single"})


class ToyFeatures(FeaturesPart):
    """Four numbers a second, three a word."""

    use = "toy-features"
    wait: float = Field(0.0, description="seconds that each recording takes")
    note: str = Field("", description="file to which each call adds a line")
    defect: Literal["none", "nan", "narrow", "empty", "fewer", "die"] = "none"

    def build(self) -> FeatureBackend:
        return ToyEncoder(self)


@dataclass(frozen=True)
class ToyEncoder:
    part: ToyFeatures
    name: str = "toy-features"
    audio_width: int = 4
    text_width: int = 3
    rate: int = RATE
    hop: float = 1.0
    seen: list[str] = field(default_factory=list)

    def audio(self, waveform: Rows) -> Rows:
        self._note("audio")
        time.sleep(self.part.wait)
        seconds = len(waveform) // RATE
        pieces = waveform[: seconds * RATE].reshape(seconds, 4, -1)
        return self._broken(pieces.std(axis=2).astype(np.float32))

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        for sentence in sentences:
            self._note(f"text {sentence}")
        found = [np.stack([_word(word) for word in sentence.split()]) for sentence in sentences]
        return found[1:] if self.part.defect == "fewer" else found

    def fingerprint(self) -> str:
        return self.part.defect

    def _broken(self, rows: Rows) -> Rows:
        if self.part.defect == "die":
            os._exit(9)
        changed: dict[str, Any] = {"nan": rows * np.nan, "narrow": rows[:, :2], "empty": rows[:0]}
        return changed.get(self.part.defect, rows)

    def _note(self, line: str) -> None:
        if self.part.note:
            with Path(self.part.note).open("a", encoding="utf-8") as file:
                file.write(f"{line}\t{os.getpid()}\t{os.environ['OMP_NUM_THREADS']}\n")


def _word(word: str) -> Rows:
    return np.frombuffer(hashlib.sha256(word.encode()).digest()[:3], np.uint8).astype(np.float32)
