"""The text side of M2D-CLAP: BERT (Devlin et al. 2019) with the names of its published weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-12


@dataclass(frozen=True)
class Sizes:
    """Sizes of the text side."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    vocabulary: int = 30_522
    longest: int = 512


class Embeddings(nn.Module):
    """Words and places."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(sizes.vocabulary, sizes.width)
        self.position_embeddings = nn.Embedding(sizes.longest, sizes.width)
        self.token_type_embeddings = nn.Embedding(2, sizes.width)
        self.LayerNorm = nn.LayerNorm(sizes.width, _EPS)

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids (B, L) to (B, L, D)."""
        places = torch.arange(ids.shape[1])
        summed = self.word_embeddings(ids) + self.position_embeddings(places)
        found: Tensor = self.LayerNorm(summed + self.token_type_embeddings.weight[0])
        return found


class SelfAttention(nn.Module):
    """Queries, keys and values."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.query, self.key, self.value = (nn.Linear(sizes.width, sizes.width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        split = [each(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for each in self._all]
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
        found: Tensor = self.LayerNorm(self.dense(x) + before)
        return found


class Layer(nn.Module):
    """A transformer layer that normalises after each of its two parts."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(sizes), "output": Added(sizes.width, sizes.width)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(sizes.width, sizes.mlp)})
        self.output = Added(sizes.mlp, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D)."""
        x = self.attention["output"](self.attention["self"](x), x)
        found: Tensor = self.output(functional.gelu(self.intermediate["dense"](x)), x)
        return found


class Bert(nn.Module):
    """Token ids to hidden states."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(sizes) for _ in range(sizes.depth))})

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids (B, L) without padding to (B, L, D)."""
        x: Tensor = self.embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return x

    @property
    def layers(self) -> nn.ModuleList:
        """Return the layers."""
        found = self.encoder["layer"]
        assert isinstance(found, nn.ModuleList)  # noqa: S101 - for the type checker
        return found
