"""How often a remark of `amrbench predict` is right that nothing is above what a random sentence gets.

    python -m benchmarks.random_sentences runs/ours3@synthetic-* runs/cgdetr@synthetic-* --recordings 40

Clips of the test split of `scenes-small` are asked about what is in them, in their annotated sentences, and
about each of the twenty sounds that is not.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from amrbench.discovery import load_registry
from amrbench.evaluation.text_table import table_body
from amrbench.experiment.finished_run import open_run
from amrbench.tools.predict_audio import find_moments, system_names
from amrbench_plugins.datasets.procedural import planning
from amrbench_plugins.datasets.procedural.lexicon import LEXICON
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.scenes import render_clip

PRESET = PRESETS["scenes-small"]


def absent(scene, number):
    """Return a sentence for each sound that is neither an event nor the bed of a scene."""
    sounds = [*scene.sounds, *([scene.bed] if scene.bed else [])]
    names = sorted(set(LEXICON) - {sound.subject.sound for sound in sounds})
    words = [LEXICON[name] for name in names]
    return [
        own.clauses[(number + index) % len(own.clauses)].format(a=own.values[index % 2][0])
        for index, own in enumerate(words)
    ]


def fractions(finished, recordings):
    """Return the fractions of random sentences below those that are true of a clip, and below the others."""
    true, foreign = [], []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        for number in range(recordings):
            index = number * PRESET.splits["test"] // recordings
            scene = planning.plan(PRESET, "test", index, seed=0)
            clip = render_clip(scene)
            soundfile.write(path, clip.waveform, clip.rate, subtype="FLOAT")
            own = [query.query for query in scene.queries]
            result = find_moments(path, [*own, *absent(scene, number)], finished)
            above = [answer.above for answer in result.answers]
            true += above[: len(own)]
            foreign += above[len(own) :]
    return np.array(true), np.array(foreign), system_names([result])[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--recordings", type=int, default=40)
    arguments = parser.parse_args()
    registry, rows = load_registry(), []
    for run in arguments.runs:
        true, foreign, name = fractions(open_run(run, registry), arguments.recordings)
        area = np.mean((true[:, None] > foreign) + 0.5 * (true[:, None] == foreign))
        row = {"model": name, "true": len(true), "foreign": len(foreign), "AUC": f"{area:.2f}"}
        for level in (0.5, 0.6, 0.75, 0.9):
            row[f"{level}: true without"] = f"{np.mean(true >= level):.0%}"
            row[f"{level}: foreign with"] = f"{np.mean(foreign < level):.0%}"
        rows.append(row)
    print(table_body("github", rows, ["left"] + ["right"] * (len(rows[0]) - 1)))


if __name__ == "__main__":
    main()
