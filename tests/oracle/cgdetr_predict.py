"""From published feature files to windows, one query at a time, as the reference does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from amrbench_plugins.cgdetr.reference_checkpoint import Config
from tests.oracle.cgdetr import Inputs, Outputs

TIE = 1e-4
"""Scores of a prediction that are this near are equal but for rounding."""


@dataclass(frozen=True)
class ScoredWindow:
    """A window in seconds and its score."""

    start: float
    end: float
    score: float


def normalise_rows(rows: Tensor) -> Tensor:
    """Divide each row (n,D) by its norm plus 1e-5."""
    return rows / (rows.norm(dim=-1, keepdim=True) + 1e-5)


def temporal(frames: int) -> Tensor:
    """Start and end of each frame as fractions, (T,2)."""
    start = torch.arange(frames) / frames
    return torch.stack([start, start + 1 / frames], -1)


def read_inputs(folder: Path, *, qid: str, vid: str, config: Config) -> Inputs:
    """Read one query's features from `clap/` and `clap_text/` of a published feature folder."""
    with np.load(folder / "clap" / f"{vid}.npz") as stored:
        audio = normalise_rows(torch.from_numpy(stored["features"][: config.max_clips]).float())
    with np.load(folder / "clap_text" / f"qid{qid}.npz") as stored:
        text = normalise_rows(torch.from_numpy(stored["last_hidden_state"][: config.max_words]).float())
    return Inputs(
        text=text[None],
        text_mask=torch.ones(1, len(text), dtype=torch.bool),
        temporal=temporal(len(audio))[None],
        audio=audio[None],
        audio_mask=torch.ones(1, len(audio), dtype=torch.bool),
        recordings=[],
    )


def raw_windows(outputs: Outputs, row: int, duration: float) -> list[ScoredWindow]:
    """Windows of the last layer in seconds, best first, to four decimals; some end outside the recording."""
    scores = outputs.logits[-1, row].softmax(-1)[:, 0].tolist()
    windows = [
        ScoredWindow(round(float(c - w / 2), 4), round(float(c + w / 2), 4), round(score, 4))
        for (c, w), score in zip((outputs.spans[-1, row] * duration).tolist(), scores, strict=True)
    ]
    order = sorted(range(len(windows)), key=lambda index: -scores[index])
    return [windows[index] for index in order]


def submission_windows(
    windows: list[ScoredWindow], *, last_second: float, clip_length: float
) -> list[ScoredWindow]:
    """Clamp to a constant, then round to whole clips, halves to the even one."""

    def rounded(second: float) -> float:
        return round(min(max(second, 0.0), last_second) / clip_length) * clip_length

    return [ScoredWindow(rounded(w.start), rounded(w.end), round(w.score, 4)) for w in windows]


def inside_ties(windows: list[list[float]]) -> list[list[list[float]]]:
    """Group windows whose scores are a rounding apart; inside a group only the set counts."""
    groups: list[list[list[float]]] = []
    for window in windows:
        if groups and abs(groups[-1][-1][2] - window[2]) <= TIE * 1.01:
            groups[-1].append(window)
        else:
            groups.append([window])
    return [sorted(group) for group in groups]
