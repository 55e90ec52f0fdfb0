"""Saliency for the tests of read-outs, and their results as plain lists."""

import math

import numpy as np
import torch

from amrbench.types import Outputs

LENGTHS = (40, 23, 7, 1, 2)


def outputs_of(*curves):
    """Return outputs with the saliency of some recordings; padding is 50."""
    most = max(map(len, curves))
    saliency = torch.full((len(curves), most), 50.0)
    for row, curve in enumerate(curves):
        saliency[row, : len(curve)] = torch.as_tensor(curve, dtype=torch.float32)
    lengths = torch.tensor([len(curve) for curve in curves])
    return Outputs({"saliency": saliency}, torch.arange(most)[None] < lengths[:, None])


def drawn(seed, lengths=LENGTHS, smooth=3):
    """Return random curves that move slowly."""
    rng = np.random.default_rng(seed)
    window = np.ones(smooth) / smooth
    return [np.convolve(rng.normal(0, 4, n + smooth - 1), window, "valid").tolist() for n in lengths]


def shares_by_hand(curve):
    """Return the shares of the maximum of one curve."""
    probabilities = [1 / (1 + math.exp(-x)) for x in curve]
    return [p / max(probabilities) for p in probabilities]


def segments_of(proposals, lengths):
    """Return (start, end, score) in frames, for the finite proposals of each recording."""
    found = []
    for spans, scores, frames in zip(proposals.spans, proposals.scores, lengths, strict=True):
        rows = [
            (round((c - w / 2) * frames, 3), round((c + w / 2) * frames, 3), score)
            for (c, w), score in zip(spans.double().tolist(), scores.tolist(), strict=True)
            if score > -math.inf
        ]
        found.append(rows)
    return found
