"""Criterion of the plain QD-DETR; matcher and losses of queries are those of CG-DETR."""

from __future__ import annotations

import torch

from tests.oracle.cgdetr_loss import Parts, Targets, detection, hinge, rank
from tests.oracle.qddetr import Outputs


def saliency_parts(outputs: Outputs, targets: Targets) -> Parts:
    """Return the parts of the saliency term; all rows count, whatever their recordings."""
    scores, negative, mask = outputs.saliency, outputs.negative_saliency, outputs.audio_mask
    both = torch.cat([scores, negative], 1), torch.cat([targets.labels, torch.zeros_like(targets.labels)], 1)
    penalty = -torch.log(1 - negative.sigmoid())
    return {
        "sal_hinge": hinge(scores, targets),
        "sal_rank": rank(*both, torch.cat([mask, mask], 1)),
        "sal_neg_pair": (penalty * mask).sum(1).mean(),
    }


def criterion(outputs: Outputs, targets: Targets) -> Parts:
    """Return every term by the reference's name, unweighted; earlier layers get a number after the name."""
    last, terms = len(outputs.logits) - 1, Parts()
    for layer in range(last + 1):
        parts = detection(outputs.logits[layer], outputs.spans[layer], targets.spans)
        terms |= {name if layer == last else f"{name}_{layer}": value for name, value in parts.items()}
    terms["loss_saliency"] = torch.stack(list(saliency_parts(outputs, targets).values())).sum()
    return terms
