"""Train the small encoders on isolated procedural sounds, and write a file of weights.

`python -m amrbench_plugins.backends.train_mini_clap mini-clap mini-clap.safetensors`

They hear single sounds over a background, at random level and distance, and read training captions. They
never hear scenes and never read a held-out wording.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from amrbench.data.worker_pool import Progress
from amrbench.training.progress_bars import NULL_REPORTER, Reporter, progress
from amrbench_plugins.backends.mini_clap import MiniClap, Settings, save, words
from amrbench_plugins.backends.spectral import LogMel
from amrbench_plugins.datasets.procedural import captions, dsp, sounds
from amrbench_plugins.datasets.procedural.captions import Subject, Wording
from amrbench_plugins.datasets.procedural.dsp import Rng, Signal

_SECONDS = 6


@dataclass(frozen=True)
class Training:
    """How an encoder pair is trained."""

    settings: Settings
    sounds_each: int
    """Clips of each class and value."""
    steps: int
    batch: int = 64
    rate: float = 2e-3


PRESETS: dict[str, Training] = {
    "mini-clap": Training(Settings(64, 32, (), 1, 2048, 24), sounds_each=20, steps=300),
    "mini-clap-wide": Training(Settings(64, 96, (1, 2, 4, 8), 3, 2048, 48), sounds_each=80, steps=1200),
}


@dataclass(frozen=True)
class Pool:
    """Isolated sounds."""

    frames: Tensor
    """Log-mel (N, frames, MELS)."""
    heard: Tensor
    """Share of each second in which the sound is on (N, T)."""
    subjects: tuple[Subject, ...]


@dataclass(frozen=True)
class Isolated:
    """One sound over a background, both (samples,)."""

    mix: Signal
    on: Signal
    """1 where the sound is on, else 0."""


def isolated(rng: Rng, subject: Subject) -> Isolated:
    """Return a sound of random length, place and level in `_SECONDS` of background."""
    seconds = float(rng.uniform(1.5, _SECONDS - 0.5))
    start = dsp.samples(rng.uniform(0, _SECONDS - seconds))
    level = 10 ** (rng.uniform(-40, -25) / 20)
    kind = sounds.BACKGROUNDS[int(rng.integers(len(sounds.BACKGROUNDS)))]
    mix = sounds.background(rng, kind, seconds=_SECONDS) * np.float32(level)
    signal = sounds.sound(rng, subject.sound, value=subject.value, seconds=seconds)
    signal = sounds.from_afar(rng, signal) if subject.far else signal
    snr = rng.uniform(-2, 6) if subject.far else rng.uniform(3, 16)
    signal = signal * np.float32(level * 10 ** (snr / 20) / (dsp.rms(signal) + 1e-9))
    mix[start : start + len(signal)] += signal
    on = np.zeros(len(mix), np.float32)
    on[start : start + len(signal)] = 1
    return Isolated(mix, on)


def make_pool(each: int, *, seed: int) -> Pool:
    """Return `each` clips of every class and value."""
    front, frames, heard, subjects = LogMel(), [], [], []
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, 77))))
    for name in sounds.CLASSES:
        for value in (0, 1):
            for _ in range(each):
                subject = Subject(name, value, bool(rng.random() < 0.3))
                clip = isolated(rng, subject)
                frames.append(front(torch.from_numpy(clip.mix)).half())
                heard.append(torch.from_numpy(clip.on.reshape(_SECONDS, -1).mean(1)))
                subjects.append(subject)
    return Pool(torch.stack(frames), torch.stack(heard), tuple(subjects))


@dataclass(frozen=True)
class _Caption:
    words: list[str]
    named: bool
    """Says the value of the attribute."""


def _caption(rng: Rng, subject: Subject) -> _Caption:
    named = bool(rng.random() < 0.75)
    wording = Wording.VALUE if named else Wording.BARE
    return _Caption(
        words(captions.phrase(rng, subject, wording=wording, distance=rng.random() < 0.15)), named
    )


def _targets(picked: list[Subject], named: list[bool]) -> Tensor:
    """Return (B, B) bool: clip i is described by caption j."""
    sound = torch.tensor([sounds.CLASSES.index(subject.sound) for subject in picked])
    value = torch.tensor([subject.value for subject in picked])
    agrees = (value[:, None] == value[None]) | ~torch.tensor(named)[None]
    return (sound[:, None] == sound[None]) & agrees


def _loss(network: MiniClap, rows: Tensor, heard: Tensor, sentences: Tensor, described: Tensor) -> Tensor:
    """Cross-entropy of each second over the captions of the batch and silence, uniform over all that fit."""
    scale = network.log_scale.exp()
    logits = scale * torch.einsum("btd,cd->btc", rows, sentences)
    quiet = network.silence.expand(*rows.shape[:2], 1) * scale
    logs = torch.cat([logits, quiet], -1).log_softmax(-1)
    fits = described / described.sum(1, keepdim=True)
    loud = -(logs[..., :-1] * fits[:, None]).sum(-1)
    on, off = (heard > 0.5).float(), (heard == 0).float()
    return _mean(loud, on) - 0.5 * _mean(logs[..., -1], off)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


def _untrained(settings: Settings, pool: Pool, seed: int) -> MiniClap:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MiniClap(settings)
    flat = pool.frames.float().flatten(0, 1)
    network.audio.mean.copy_(flat.mean(0))
    network.audio.scale.copy_(1 / flat.std(0))
    return network


def _loss_of_batch(network: MiniClap, pool: Pool, rng: Rng, size: int) -> Tensor:
    pick = rng.choice(len(pool.subjects), size, replace=False)
    picked = [pool.subjects[at] for at in pick]
    texts = [_caption(rng, subject) for subject in picked]
    # A shift of the log spectrum is another loudness.
    frames = pool.frames[pick].float() + float(rng.normal(0, 0.7))
    rows = network.audio(frames)
    sentences = network.text([text.words for text in texts])[1]
    described = _targets(picked, [text.named for text in texts]).float()
    return _loss(network, rows, pool.heard[pick], sentences, described)


def train(training: Training, *, seed: int = 0, tell: Reporter = NULL_REPORTER) -> MiniClap:
    """Return trained networks; the same bits for the same arguments on one machine and one thread."""
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, 78))))
    pool = make_pool(training.sounds_each, seed=seed)
    network = _untrained(training.settings, pool, seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.rate, total_steps=training.steps, pct_start=0.1
    )
    for step in range(1, training.steps + 1):
        loss = _loss_of_batch(network, pool, rng, training.batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        tell.data(Progress("steps", step, training.steps))
        if step % 100 == 0 or step == training.steps:
            tell.note(f"step {step}: loss {loss.item():.3f}")
    return network


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Train a small audio-text encoder on procedural sounds.")
    parser.add_argument("name", choices=sorted(PRESETS))
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with progress() as tell:
        save(train(PRESETS[arguments.name], tell=tell), arguments.file)


if __name__ == "__main__":
    main()
