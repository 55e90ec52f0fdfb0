"""Small corpora in the layout of the published ones, and the data sets that are mixed from them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench.slots.data import DatasetPart

REGISTRY = load_registry()
RATE = 8000
ANIMALS = ("dog", "cat", "cow", "hen", "owl", "fox", "bee", "elk", "emu", "gnu", "yak", "ant")
VERBS = ("barks", "meows", "moos", "clucks", "hoots", "yelps")


def tone(seconds: float, hertz: float, *, silence: float = 0.0, rate: int = RATE) -> np.ndarray:
    """A tone with silence on both sides."""
    times = np.arange(round(seconds * rate)) / rate
    quiet = np.zeros(round(silence * rate))
    return np.concatenate([quiet, 0.3 * np.sin(2 * np.pi * hertz * times), quiet])


def write(path: Path, wave: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate)


def wavcaps(folder: Path, count: int = 60) -> Path:
    """SoundBible with `count` sounds, and AudioSet with YouTube ids; captions differ."""
    for subset, file, name, end in (
        ("SoundBible", "sb_final.json", lambda n: str(1000 + n), "flac"),
        ("AudioSet_SL", "as_final.json", lambda n: f"Y{n:011d}.wav", "wav"),
    ):
        entries = []
        for number in range(count):
            caption = f"the {ANIMALS[number % 12]} {VERBS[number // 12 % 6]} {subset} {number}"
            entries.append({"id": name(number), "caption": caption, "duration": 2.0, "audio": "wav_path"})
            wave = tone(1 + number % 4, 300 + 40 * number, silence=0.5)
            write(folder / subset / f"{name(number).removesuffix('.wav')}.{end}", wave)
        (folder / "json_files" / subset).mkdir(parents=True)
        content = {"num_captions_per_audio": 1, "data": entries}
        (folder / "json_files" / subset / file).write_text(json.dumps(content))
    return folder


def demand(folder: Path, environments: tuple[str, ...] = ("NFIELD", "TCAR"), seconds: float = 20) -> Path:
    for number, environment in enumerate(environments):
        for channel in range(1, 17):
            rng = np.random.default_rng((number, channel))
            outer = f"{environment}_16k" if number else environment
            write(folder / outer / f"ch{channel:02d}.wav", 0.05 * rng.standard_normal(round(seconds * RATE)))
    return folder


def clotho(folder: Path, count: int = 12) -> Path:
    for split in ("development", "validation", "evaluation"):
        names = [f"{split} {number}.wav" for number in range(count)]
        for number, name in enumerate(names):
            write(folder / split / name, tone(3 + number % 5, 300 + 50 * number, silence=0.5))
        columns = ["file_name", *(f"caption_{n}" for n in range(1, 6))]
        with (folder / f"clotho_captions_{split}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(columns)
            rows.writerows(
                [name, *(f"{ANIMALS[n % 12]} take {k}, {split}" for k in range(5))]
                for n, name in enumerate(names)
            )
        with (folder / f"clotho_metadata_{split}.csv").open("w", newline="", encoding="latin-1") as file:
            rows = csv.writer(file)
            rows.writerow(["file_name", "keywords", "license"])
            rows.writerows([name, "caf\xe9", "CC0"] for name in names)
    return folder


def tours(folder: Path, names: tuple[str, ...], seconds: float = 90) -> Path:
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        write(folder / f"{name}.flac", 0.1 * rng.standard_normal(round(seconds * RATE)))
    return folder


def five_minutes(**options):
    """Return the set of the report, with a few clips of 40 s."""
    small = {
        "clips": [8, 3], "queries": [24, 8], "seconds": 40, "rate": 8000,
        "environments": ["NFIELD", "TCAR"], "subsets": ["SoundBible", "AudioSet_SL"],
    }  # fmt: skip
    return DatasetPart.model_validate({"use": "intermediate300", **small, **options}, context=REGISTRY)


def one_minute(**options):
    return DatasetPart.model_validate({"use": "clotho-moment60", "rate": 8000, **options}, context=REGISTRY)


def clips(part, split):
    dataset = part.build()
    return [dataset.recording(split, index) for index in range(dataset.size(split))]


def refusal(call, *arguments):
    with pytest.raises(DataError) as error:
        call(*arguments)
    return str(error.value)
