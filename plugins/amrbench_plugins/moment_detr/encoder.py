"""The transformer encoder of the baseline."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amrbench.errors import RecipeError
from amrbench.part import budgeted
from amrbench.slots.blocks import BlockContext, EncoderPart, Tokens
from amrbench_plugins.moment_detr.layers import EncoderLayer, FeedForward, SelfAttention, bias_of, heads_fault


class TransformerEncoder(nn.Module):
    """A stack of self-attention layers, normalised after each addition; no norm at the end."""

    def __init__(self, layers: list[EncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, tokens: Tokens, first: int | None = None) -> Tensor:
        """Return (B, n, D), or only its `first` rows; then the last layer computes no others."""
        x = tokens.features
        bias = bias_of(tokens.mask[:, None, None], x.dtype)
        for layer in self.layers[:-1]:
            x = layer(x, tokens.positions, bias)
        return self.layers[-1](x, tokens.positions, bias, first=first)  # type: ignore[no-any-return]


class Transformer(EncoderPart):
    """Layers of self attention and feed-forward with post-normalisation and stochastic depth."""

    use = "transformer"
    layers: int = budgeted(3, "layers", ge=1, description="number of layers")
    attention_heads: int | None = Field(None, ge=1, description="attention heads; the model's unless given")
    dropout: float | None = Field(None, ge=0, lt=1, description="dropout; the model's unless given")

    @override
    def build(self, context: BlockContext) -> nn.Module:
        width = context.width
        p = context.dropout if self.dropout is None else self.dropout
        heads = context.attention_heads if self.attention_heads is None else self.attention_heads
        if fault := heads_fault(heads, width):
            raise RecipeError(f"{context.build.path}: {fault}")
        layers = []
        for _ in range(self.layers):
            feedforward = FeedForward(width, context.feedforward, p, context.activation.feedforward())
            layers.append(EncoderLayer(SelfAttention(width, heads, p), feedforward, p))
        stack = TransformerEncoder(layers)
        context.initialise(stack)
        return stack
