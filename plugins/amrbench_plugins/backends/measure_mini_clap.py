"""Measure what the small encoders know: which caption is nearest to each second of a new sound.

`python -m amrbench_plugins.backends.measure_mini_clap` prints a table for the shipped files; other files may
be given as arguments.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import typer
from tabulate import tabulate

from amrbench.slots.features import FeatureBackend
from amrbench_plugins.backends.mini_clap import WEIGHTS, load
from amrbench_plugins.backends.train_mini_clap import FAR_PROBABILITY, PRESETS, isolated
from amrbench_plugins.datasets.procedural import captions, sounds
from amrbench_plugins.datasets.procedural.captions import Subject, Wording
from amrbench_plugins.datasets.procedural.dsp import Rng
from amrbench_plugins.datasets.procedural.lexicon import KNOWN_TO_ENCODERS, LEXICON, Lexicon
from amrbench_plugins.datasets.procedural.sounds import ENCODERS, HELD_OUT, TRAINING, Range

_SEED = 4711
_DRAWS = 5
"""How often captions are drawn anew."""

KINDS = tuple(Subject(name, value, far=False) for name, value in product(sounds.CLASSES, (0, 1)))
"""Every class with every value; the candidates of each comparison."""

TAKES: dict[str, Range] = {"trained": ENCODERS, "of data sets": TRAINING, "held out": HELD_OUT}
"""Sections of the ranges of parameters."""
WORDINGS: dict[str, tuple[Wording, Lexicon]] = {
    "trained": (Wording.VALUE, KNOWN_TO_ENCODERS),
    "of data sets": (Wording.VALUE, LEXICON),
    "held out": (Wording.UNSEEN, LEXICON),
}
"""Kinds of captions and their words."""


@dataclass(frozen=True)
class Seconds:
    """Seconds in which a sound is on: their rows (N, width), and which of `KINDS` it is (N,)."""

    rows: npt.NDArray[np.float32]
    kinds: npt.NDArray[np.int64]


def encode_sounds(backend: FeatureBackend, rng: Rng, section: Range, *, sounds_each: int) -> Seconds:
    """Encode `sounds_each` isolated sounds of every kind, some of them from afar as in training."""
    rows, kinds = [], []
    for kind, subject in enumerate(KINDS):
        for _ in range(sounds_each):
            clip = isolated(rng, replace(subject, far=bool(rng.random() < FAR_PROBABILITY)), section)
            on = clip.on.reshape(-1, backend.rate).mean(1) > 0.5
            rows.append(backend.audio(clip.mix)[on])
            kinds += [kind] * int(on.sum())
    return Seconds(np.concatenate(rows), np.asarray(kinds))


def nearest(backend: FeatureBackend, seconds: Seconds, rng: Rng, words: str) -> npt.NDArray[np.int64]:
    """Return for each second which of `KINDS` has the nearest sentence; one sentence is drawn for each.

    `words` is one of `WORDINGS`.
    """
    wording, lexicon = WORDINGS[words]
    texts = [
        captions.phrase(rng, subject, wording=wording, distance=False, lexicon=lexicon) for subject in KINDS
    ]
    sentences = np.stack([rows[-1] for rows in backend.text(texts)])
    return np.asarray((seconds.rows @ sentences.T).argmax(1))


@dataclass(frozen=True)
class Accuracy:
    """How often the nearest sentence was right, in percent of the seconds."""

    encoder: str
    takes: str
    wording: str
    sound: float
    """The class is right."""
    kind: float
    """The class and the value are right."""
    seconds: int


def measure(backend: FeatureBackend, *, sounds_each: int) -> Iterator[Accuracy]:
    """Yield the accuracy for each kind of takes and of wordings."""
    for takes, section in TAKES.items():
        rng = np.random.default_rng(_SEED)
        seconds = encode_sounds(backend, rng, section, sounds_each=sounds_each)
        for wording in WORDINGS:
            rng = np.random.default_rng(_SEED + 1)
            predicted = np.stack([nearest(backend, seconds, rng, wording) for _ in range(_DRAWS)])
            kind, sound = predicted == seconds.kinds, predicted // 2 == seconds.kinds // 2  # two values each
            right = 100 * sound.mean(), 100 * kind.mean()
            yield Accuracy(backend.name, takes, wording, *right, predicted.shape[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Measure small audio-text encoders on new sounds.")
    parser.add_argument("files", nargs="*", type=Path, help="weights files; by default the shipped ones")
    parser.add_argument("--each", type=int, default=20, help="sounds of each class and value")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    files = options.files or [WEIGHTS / f"{name}.safetensors" for name in PRESETS]
    lines = [line for file in files for line in measure(load(file.stem, file), sounds_each=options.each)]
    lines.append(Accuracy("chance", "", "", 100 / len(sounds.CLASSES), 100 / len(KINDS), lines[0].seconds))
    headers = ["encoder", "takes", "wording", "class %", "class and value %", "seconds"]
    typer.echo(tabulate([astuple(line) for line in lines], headers, "github", floatfmt=".1f"))


if __name__ == "__main__":
    main()
