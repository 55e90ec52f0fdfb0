"""Content queries: learned ones, and ones that the text modulates (report, section 2.4).

From the report: learned content, modulated with FiLM by the summary of the text. From the source that it
cites (Perez et al. 2018) and its code: one linear map gives scale and shift for each feature, and the scale
is written as 1 + delta. Our choice: the map starts at zero, so that training begins with the learned content;
the summary is normalised first; the content starts as normal numbers with a standard deviation of 0.02.

The public baselines start from zeros, for which FiLM could only shift all queries alike; `content: zeros`
is that case, and the part `learned` is learned content without the text.
"""

from __future__ import annotations

import torch
from torch import nn

from amrbench.slots.blocks import Queries
from amrbench.types import Tensors

INIT_STD = 0.02


def initial_content(anchors: nn.Module, width: int) -> nn.Parameter:
    """Return random content (Q, D), as many rows as there are anchors."""
    return nn.Parameter(INIT_STD * torch.randn(anchors().shape[0], width))


class LearnedQueries(nn.Module):
    """Queries with learned content, the same for all recordings and texts."""

    def __init__(self, anchors: nn.Module, content: nn.Parameter) -> None:
        """`content` is (Q, D)."""
        super().__init__()
        self.anchors = anchors
        self.content = content

    def forward(self, tensors: Tensors) -> Queries:
        """Return the same queries for each sample."""
        batch = tensors["audio"].shape[0]
        return Queries(self.content.expand(batch, -1, -1), self.anchors().expand(batch, -1, -1))


class TextQueries(nn.Module):
    """Queries whose content is scaled and shifted, feature by feature, by the summary of the text."""

    def __init__(self, anchors: nn.Module, content: nn.Parameter) -> None:
        """`content` is (Q, D)."""
        super().__init__()
        self.anchors = anchors
        self.content = content
        width = content.shape[1]
        self.norm = nn.LayerNorm(width)
        self.modulation = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, tensors: Tensors) -> Queries:
        """Return queries for the "summary.text" (B, D) of each sample."""
        summary = tensors["summary.text"]
        scale, shift = self.modulation(self.norm(summary))[:, None].chunk(2, -1)  # (B, 1, D) each
        return Queries((1 + scale) * self.content + shift, self.anchors().expand(summary.shape[0], -1, -1))
