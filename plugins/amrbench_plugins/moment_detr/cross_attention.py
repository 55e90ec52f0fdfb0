"""Cross attention of QD-DETR: frames attend to the words of a sentence and to nothing else.

Source: Moon et al. 2023 (arXiv 2303.13874), section 3.1, as the Lighthouse library runs it for audio.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amrbench.slots.blocks import AttentionNorm, Fused, Keys, Tokens
from amrbench_plugins.moment_detr.dropout import ResidualSum
from amrbench_plugins.moment_detr.layers import (
    FeedForward,
    ResidualBlock,
    attention,
    bias_of,
    in_blocks,
    split_heads,
)
from amrbench_plugins.moment_detr.packing import Packing


class WordLayer(ResidualBlock):
    """Multi-head cross attention with projections of queries, keys and values, and a feed-forward part.

    Its weights over the words of a frame sum to one, so even a frame that no word describes reads the text.
    """

    def __init__(
        self, *, heads: int, norm: AttentionNorm, feedforward: FeedForward, residual_sum: ResidualSum
    ) -> None:
        super().__init__()
        width = feedforward.up.in_features
        self.heads = heads
        self.norm = norm
        # One product in its reference, so `xavier` draws the three maps as one.
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.feedforward = feedforward
        self.norm2 = nn.LayerNorm(width)
        self.residual_sum = residual_sum
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, audio: Tokens, keys: Keys, bias: Tensor, packing: Packing | None = None) -> Tensor:
        """Return frames (B, T, D) that have attended to the keys under a bias on the logits.

        Only the frames that a packing of the B * T frames takes pass the feed-forward part.
        """
        x, text = audio.features, self.norm.text(keys.tokens.features)
        width = x.shape[-1]
        weight, added = self.qkv.weight, self.qkv.bias
        query = F.linear(self.norm.audio(x) + audio.positions, weight[:width], added[:width])
        key, value = F.linear(text, weight[width:], added[width:]).chunk(2, -1)
        query, key, value = (split_heads(rows, self.heads) for rows in (query, key, value))
        attended = attention(query, key, value, bias, p=self.residual_sum.p, training=self.training)
        return self.add(x, self.out(attended), packing)


class CrossAttentionFusion(nn.Module):
    """Layers of cross attention to the same words, and a global token that does not depend on the recording.

    The encoder after it makes the token a summary of the recording (section 3.3: the saliency token).
    """

    def __init__(self, layers: list[WordLayer], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.token = nn.Parameter(torch.randn(width))
        self.position = nn.Parameter(torch.randn(width))

    def keys(self, words: Tokens) -> Keys:
        """Return the words."""
        return Keys(words)

    def forward(self, audio: Tokens, keys: Keys) -> Fused:
        """Fuse audio with words; every recording gets the same token."""
        bias = bias_of(keys.tokens.mask[:, None, None], audio.features.dtype)
        packing = Packing.of(audio.mask) if in_blocks(audio.features) else None
        fused = audio
        for layer in self.layers:
            fused = fused.with_features(layer(fused, keys, bias, packing=packing))
        return Fused(fused, self.token.expand(len(audio.mask), -1), self.position)
