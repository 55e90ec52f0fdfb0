"""Plans of procedural clips, and what their texts say."""

import re
from functools import cache

import numpy as np

from amrbench_plugins.datasets.procedural import planning
from amrbench_plugins.datasets.procedural.lexicon import LEXICON
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.sounds import CLASSES

SPLITS = [(name, split) for name, preset in PRESETS.items() for split in preset.splits]


def generator(seed):
    return np.random.Generator(np.random.SFC64(seed))


@cache
def plans(preset, split, count=80):
    return [planning.plan(PRESETS[preset], split, index, seed=1) for index in range(count)]


def every_plan():
    return [scene for name, split in SPLITS for scene in plans(name, split)]


def held_out(sound):
    """Every phrase in the held-out clause of a class."""
    words = [word for value in LEXICON[sound].values for word in value]
    return [re.sub(r"\ba (?=[aeiou])", "an ", LEXICON[sound].unseen.format(a=word)) for word in words]


HELD_OUT = [text for sound in CLASSES for text in held_out(sound)]


def is_held_out(text):
    return any(phrase in text.lower() for phrase in HELD_OUT)


def asked(scene):
    """Each query of a scene with the planned sounds it is about."""
    for query, request in zip(scene.queries, scene.layout.requests, strict=True):
        yield query, [scene.sounds[index] for index in request.sounds]


def names_value(text, subject):
    return any(word in text.lower() for word in LEXICON[subject.sound].values[subject.value])
