"""The text side of M2D-CLAP: BERT (Devlin et al. 2019) with the names of its published weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-12


@dataclass(frozen=True)
class Config:
    """Sizes of the text side."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    vocabulary: int = 30_522
    longest: int = 512


class Embeddings(nn.Module):
    """Words and positions."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary, config.width)
        self.position_embeddings = nn.Embedding(config.longest, config.width)
        self.token_type_embeddings = nn.Embedding(2, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, _EPS)

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids (B, L) to (B, L, D)."""
        positions = torch.arange(ids.shape[1])
        summed = self.word_embeddings(ids) + self.position_embeddings(positions)
        return self.LayerNorm(summed + self.token_type_embeddings.weight[0])  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Queries, keys and values."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.query, self.key, self.value = (nn.Linear(config.width, config.width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        split = [linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for linear in self._all]
        return functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)

    @property
    def _all(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        return self.query, self.key, self.value


class Added(nn.Module):
    """A layer whose result is added to what went in before, and normalised."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, _EPS)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Map (B, L, inner) and (B, L, D) to (B, L, D)."""
        return self.LayerNorm(self.dense(x) + before)  # type: ignore[no-any-return]


class Layer(nn.Module):
    """A transformer layer that normalises after each of its two parts."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(config), "output": Added(config.width, config.width)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.width, config.mlp)})
        self.output = Added(config.mlp, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        x = self.attention["output"](self.attention["self"](x), x)
        return self.output(functional.gelu(self.intermediate["dense"](x)), x)  # type: ignore[no-any-return]


class Bert(nn.Module):
    """Token ids to hidden states."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(config) for _ in range(config.depth))})

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids (B, L) without padding to (B, L, D)."""
        x: Tensor = self.embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return x

    @property
    def layers(self) -> nn.ModuleList:
        """Return the layers."""
        layers = self.encoder["layer"]
        assert isinstance(layers, nn.ModuleList)  # noqa: S101 - for the type checker
        return layers
