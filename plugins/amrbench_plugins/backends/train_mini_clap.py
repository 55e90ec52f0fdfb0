"""Train the small encoders on isolated procedural sounds, and write a file of weights.

`python -m amrbench_plugins.backends.train_mini_clap mini-clap mini-clap.safetensors`

The training data are single sounds over a background, at random level and distance, with captions. As with
real encoders, part of what a data set sounds and says is new to them: takes come from a section of the ranges
of their parameters, captions from a part of the lexicon, and scenes and held-out wordings are not among them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from amrbench.data.worker_pool import Progress
from amrbench.training.progress_bars import NULL_REPORTER, Reporter, progress
from amrbench_plugins.backends.mini_clap import Config, MiniClap, save, words
from amrbench_plugins.backends.spectral import LogMel
from amrbench_plugins.datasets.layouts.streams import stream
from amrbench_plugins.datasets.procedural import captions, dsp, sounds
from amrbench_plugins.datasets.procedural.captions import Subject, Wording
from amrbench_plugins.datasets.procedural.dsp import Rng, Signal
from amrbench_plugins.datasets.procedural.lexicon import KNOWN_TO_ENCODERS
from amrbench_plugins.datasets.procedural.sounds import Range, Take

FAR_PROBABILITY = 0.3
"""Of a sound from afar."""
_SECONDS = 6


@dataclass(frozen=True)
class Training:
    """How an encoder pair is trained."""

    config: Config
    sounds_each: int
    """Clips of each class and value."""
    steps: int
    batch: int = 64
    rate: float = 2e-3


PRESETS: dict[str, Training] = {
    "mini-clap": Training(Config(64, 32, (), 1, 2048, 24), sounds_each=20, steps=300),
    "mini-clap-wide": Training(Config(64, 96, (1, 2, 4, 8), 3, 2048, 48), sounds_each=80, steps=1200),
}


@dataclass(frozen=True)
class Pool:
    """Isolated sounds."""

    frames: Tensor
    """(N, frames, MELS) log-mel."""
    sounding: Tensor
    """(N, T) share of each second in which the sound is on."""
    subjects: tuple[Subject, ...]


@dataclass(frozen=True)
class Isolated:
    """One sound over a background, both (samples,)."""

    mix: Signal
    on: Signal
    """1 where the sound is on, else 0."""


def isolated(rng: Rng, subject: Subject, section: Range = sounds.ENCODERS) -> Isolated:
    """Return a take of random length, start and level in `_SECONDS` of background."""
    seconds = float(rng.uniform(1.5, _SECONDS - 0.5))
    start = dsp.samples(rng.uniform(0, _SECONDS - seconds))
    level = 10 ** (rng.uniform(-40, -25) / 20)
    kind = sounds.BACKGROUNDS[int(rng.integers(len(sounds.BACKGROUNDS)))]
    mix = sounds.background(rng, kind, seconds=_SECONDS) * np.float32(level)
    signal = sounds.sound(Take(rng, subject.value, section), subject.sound, seconds=seconds)
    signal = sounds.from_afar(rng, signal) if subject.far else signal
    snr = rng.uniform(-2, 6) if subject.far else rng.uniform(3, 16)
    signal = signal * np.float32(level * 10 ** (snr / 20) / (dsp.rms(signal) + 1e-9))
    mix[start : start + len(signal)] += signal
    on = np.zeros(len(mix), np.float32)
    on[start : start + len(signal)] = 1
    return Isolated(mix, on)


def make_pool(sounds_each: int, *, seed: int) -> Pool:
    """Return `sounds_each` clips of every class and value."""
    front_end, frames, sounding, subjects = LogMel(), [], [], []
    rng = stream((seed,), 77)
    for name in sounds.CLASSES:
        for value in (0, 1):
            for _ in range(sounds_each):
                subject = Subject(name, value, bool(rng.random() < FAR_PROBABILITY))
                clip = isolated(rng, subject)
                frames.append(front_end(torch.from_numpy(clip.mix)).half())
                sounding.append(torch.from_numpy(clip.on.reshape(_SECONDS, -1).mean(1)))
                subjects.append(subject)
    return Pool(torch.stack(frames), torch.stack(sounding), tuple(subjects))


def draw_caption(rng: Rng, subject: Subject) -> tuple[list[str], bool]:
    """Return the words of a caption, and whether they state the value of the attribute."""
    states_value = bool(rng.random() < 0.75)
    wording = Wording.VALUE if states_value else Wording.BARE
    distance = bool(rng.random() < 0.15)
    text = captions.phrase(rng, subject, wording=wording, distance=distance, lexicon=KNOWN_TO_ENCODERS)
    return words(text), states_value


def described_clips(subjects: Sequence[Subject], states_value: Sequence[bool]) -> Tensor:
    """Return (B, B) bool: clip i is described by caption j."""
    sound = torch.tensor([sounds.CLASSES.index(subject.sound) for subject in subjects])
    value = torch.tensor([subject.value for subject in subjects])
    agrees = (value[:, None] == value[None]) | ~torch.tensor(states_value)[None]
    return (sound[:, None] == sound[None]) & agrees


def contrastive_loss(
    network: MiniClap, rows: Tensor, sounding: Tensor, sentences: Tensor, described: Tensor
) -> Tensor:
    """Return the cross entropy of each second over the captions of the batch and silence.

    The target of a second with sound is uniform over all captions that describe it.

    Args:
        network: Gives the temperature and the logit of silence.
        rows: (B, T, width).
        sounding: (B, T) share of each second in which the sound is on.
        sentences: (B, width).
        described: (B, B) 1 where caption j describes clip i, else 0.
    """
    scale = network.log_scale.exp()
    logits = scale * torch.einsum("btd,cd->btc", rows, sentences)
    silence = network.silence.expand(*rows.shape[:2], 1) * scale
    log_probs = torch.cat([logits, silence], -1).log_softmax(-1)
    target = described / described.sum(1, keepdim=True)
    entropy = -(log_probs[..., :-1] * target[:, None]).sum(-1)
    on, off = (sounding > 0.5).float(), (sounding == 0).float()
    return _mean(entropy, on) - 0.5 * _mean(log_probs[..., -1], off)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


def untrained(config: Config, pool: Pool, seed: int) -> MiniClap:
    """Return networks with their first weights, which normalise the frames of the pool."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MiniClap(config)
    flat = pool.frames.float().flatten(0, 1)
    network.audio.mean.copy_(flat.mean(0))
    network.audio.scale.copy_(1 / flat.std(0))
    return network


def train(training: Training, *, seed: int = 0, reporter: Reporter = NULL_REPORTER) -> MiniClap:
    """Return trained networks; the same bits for the same arguments on one machine and one thread."""
    rng = stream((seed,), 78)
    pool = make_pool(training.sounds_each, seed=seed)
    network = untrained(training.config, pool, seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.rate, total_steps=training.steps, pct_start=0.1
    )
    for step in range(1, training.steps + 1):
        clips = rng.choice(len(pool.subjects), training.batch, replace=False)
        subjects = [pool.subjects[clip] for clip in clips]
        texts, states_value = zip(*(draw_caption(rng, subject) for subject in subjects), strict=True)
        # A shift of the log spectrum changes the loudness.
        rows = network.audio(pool.frames[clips].float() + float(rng.normal(0, 0.7)))
        sentences = network.text(texts)[1]
        described = described_clips(subjects, states_value).float()
        loss = contrastive_loss(network, rows, pool.sounding[clips], sentences, described)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        reporter.data(Progress("steps", step, training.steps))
        if step % 100 == 0 or step == training.steps:
            reporter.note(f"step {step}: loss {loss.item():.3f}")
    return network


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Train a small audio-text encoder on procedural sounds.")
    parser.add_argument("name", choices=sorted(PRESETS))
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with progress() as reporter:
        save(train(PRESETS[arguments.name], reporter=reporter), arguments.file)


if __name__ == "__main__":
    main()
