"""Small context, memories and sequences for the components of the report."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amrbench.registry import Registry
from amrbench.slots.blocks import BlockContext, Memory, Tokens
from amrbench.types import BuildContext
from amrbench_plugins import moment_detr, ours
from amrbench_plugins.moment_detr.layers import xavier
from tests.folders import DATA
from tests.plugins.moment_detr import small

REGISTRY = Registry.of(*moment_detr.amrbench_parts(), *ours.amrbench_parts())
EVERYTHING: dict[str, Any] = {
    "activation": "swish",
    "audio_refine": ["temporal-difference"],
    "temporal_embedding": {"use": "fourier", "frequencies": 6},
    "fusion": {"use": "adaptive-cross-attention", "dummies": 3, "prompts": 4, "norm": "modality"},
    "text_summary": {"use": "registers", "around": {"use": "transformer", "layers": 1}},
    "encoder": {"use": "registers", "around": {"use": "transformer", "layers": 2}},
    "memory_refine": ["temporal-difference", "add-global"],
    "query": {"use": "film", "anchors": {"use": "percentiles", "count": 6}},
    "decoder": {"use": "dab", "layers": 2, "prior": "bimodal-gaussian"},
    "heads": ["task-aligned", "saliency"],
}


# Recorded cases that no test reads, because no part of ours does what they record:
#   varifocal.json  vfnet_not_iou_weighted_elementwise: ours weights matches by their IoU, like the report
#   varifocal.json  focal_class_cost_row0: the matcher's cost is the probability itself
#   bimodal_prior.json  log_max, softmax_uniform_logits_log_max: ours adds the two peaks up
#   fisher_logistic.json  fisher_exact_diag: the mean over labels, which losses of spans do not have
#   sigreg.npz  big_gauss_mean, big_collapsed_0.1_mean: values without the data that they are of
#   ema.json  count_reference_behaviour; asam.npz  loss2, grad1, check_scaled_radius, clip_norm_before
def golden(name: str) -> Any:
    return json.loads((DATA / "components" / f"{name}.json").read_text())


def golden_arrays(name: str) -> dict[str, Tensor]:
    with np.load(DATA / "components" / f"{name}.npz") as stored:
        return {key: torch.from_numpy(np.atleast_1d(value)) for key, value in stored.items()}


def part(slot: str, use: str, **options: Any) -> Any:
    return REGISTRY.find(slot, use).model_validate(options, context=REGISTRY)


def context(
    *, width: int = 8, seed: int = 0, window_widths: tuple[float, ...] = (0.1, 0.2, 0.3)
) -> BlockContext:
    return BlockContext(
        width=width,
        attention_heads=2,
        feedforward=12,
        dropout=0.0,
        activation=part("activation", "relu-prelu").build(),
        initialise=xavier,
        build=BuildContext(small.WIDTHS, seed=seed, window_widths=window_widths),
    )


def built(slot: str, use: str, width: int = 8, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return part(slot, use, **options).build(context(width=width))


def model(**changed: Any) -> Any:
    return small.model(registry=REGISTRY, **changed)


def stirred(module: nn.Module, std: float = 0.5) -> nn.Module:
    """Move every weight a little, also those that start at zero or one."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += std * torch.randn(parameter.shape, generator=generator)
    return module


def mask_of(*lengths: int) -> torch.Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def memory(*lengths: int, width: int = 8) -> Memory:
    mask = mask_of(*lengths)
    generator = torch.Generator().manual_seed(1)
    token, frames, positions = (
        torch.randn(*shape, width, generator=generator) for shape in ((len(mask),), mask.shape, mask.shape)
    )
    return Memory(token, frames * mask[..., None], positions * mask[..., None], mask)


def tokens(*lengths: int, width: int = 8) -> Tokens:
    rows = memory(*lengths, width=width)
    return Tokens(rows.frames, rows.positions, rows.mask)


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference of two tensors."""
    return float((one - other).detach().abs().max())


def without_gradient(module: nn.Module) -> list[str]:
    """Return the names of the parameters without a gradient, or with a gradient of zero."""
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
