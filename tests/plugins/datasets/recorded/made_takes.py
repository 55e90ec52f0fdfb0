"""A collection of takes that is made in no time: tones of another pitch for each class, and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from tests.plugins.datasets.corpora.small_corpora import tone, write

RATE = 8000
CLASSES = (
    *("bell", "bird", "cat", "cow", "dog", "drum", "duck", "engine"),
    *("fire", "flute", "man", "owl", "rain", "saw"),
)
CALLS = {name: f"a {name} {{}}" for name in CLASSES}
VERBS = ("sounds", "is heard", "makes noise", "begins", "can be noticed")


def sounds() -> dict[str, object]:
    """Return the content of `sounds.yaml`."""
    return {
        "speech": ["man"],
        "phrases": {name: [CALLS[name].format(verb) for verb in VERBS] for name in CLASSES},
    }


def write_sounds(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sounds.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def collection(folder: Path, takes: int = 6) -> Path:
    """Write a collection and return its folder."""
    write_sounds(folder, sounds())
    for number, name in enumerate(CLASSES):
        for take in range(takes):
            hertz, seconds = 200 + 120 * number + 10 * take, 0.5 + take
            write(folder / name / f"{name} {take}.wav", tone(seconds, hertz, silence=0.3))
    for take in range(3):
        noise = 0.1 * np.random.default_rng(take).standard_normal(5 * RATE)
        write(folder / "background" / f"noise {take}.wav", noise)
    return folder
