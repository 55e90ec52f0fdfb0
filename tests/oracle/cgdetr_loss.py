"""Matcher and criterion of the plain CG-DETR.

Every term returns its parts by name, so that tests can check them. A part that does not apply to a batch,
e.g. without mismatched pairs, is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from tests.oracle.cgdetr import CGDETR, Alignment, Outputs

WEIGHTS: Mapping[str, float] = {"loss_span": 10, "loss_giou": 1, "loss_label": 4}
BACKGROUND = 0.1
MARGIN = 0.2
TEMPERATURE = 0.5
RANKS = 12

Parts = dict[str, Tensor]


@dataclass(frozen=True)
class Targets:
    """The ground truth of the criterion: spans of each sample (W,2), clip labels (B,T), clip pairs (B,2)."""

    spans: list[Tensor]
    labels: Tensor
    positives: Tensor
    negatives: Tensor


@dataclass(frozen=True)
class Match:
    """Queries and the targets that they are matched to, both (W,)."""

    queries: Tensor
    targets: Tensor


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of spans (...,2), broadcast."""
    a_start, a_end = a[..., 0] - a[..., 1] / 2, a[..., 0] + a[..., 1] / 2
    b_start, b_end = b[..., 0] - b[..., 1] / 2, b[..., 0] + b[..., 1] / 2
    overlap = (torch.minimum(a_end, b_end) - torch.maximum(a_start, b_start)).clamp(min=0)
    union = (a_end - a_start) + (b_end - b_start) - overlap
    hull = torch.maximum(a_end, b_end) - torch.minimum(a_start, b_start)
    return overlap / union - (hull - union) / hull


def match(logits: Tensor, spans: Tensor, targets: list[Tensor]) -> list[Match]:
    """Assign queries to targets at the least cost; logits and spans (B,Q,2) of one layer."""
    matches = []
    for row, true in enumerate(targets):
        distance = (spans[row][:, None] - true).abs().sum(-1)
        foreground = logits[row].softmax(-1)[:, :1]
        cost = 10 * distance - giou(spans[row][:, None], true) - 4 * foreground
        queries, chosen = linear_sum_assignment(cost.detach().numpy())
        matches.append(Match(torch.as_tensor(queries), torch.as_tensor(chosen)))
    return matches


def detection(logits: Tensor, spans: Tensor, targets: list[Tensor]) -> Parts:
    """Span, gIoU and label terms of one decoder layer."""
    matches = match(logits, spans, targets)
    predicted = torch.cat([spans[row][m.queries] for row, m in enumerate(matches)])
    true = torch.cat([targets[row][m.targets] for row, m in enumerate(matches)])
    classes = torch.ones(logits.shape[:2], dtype=torch.long)
    for row, m in enumerate(matches):
        classes[row, m.queries] = 0
    weight = torch.tensor([1.0, BACKGROUND])[classes]
    entropy = -logits.log_softmax(-1).gather(-1, classes[..., None]).squeeze(-1)
    return {
        "loss_span": (predicted - true).abs().mean(),
        "loss_giou": (1 - giou(predicted, true)).mean(),
        "loss_label": (weight * entropy).mean(),
    }


def rank(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Contrast of labelled clips with all clips of the row; all (B,T)."""
    if len(scores) == 0:
        return scores.new_zeros(())
    real = mask.float()
    logits = (scores * real - 1000 * (1 - real)) / TEMPERATURE
    logits = logits - logits.max(-1, keepdim=True).values
    log_probs = logits - torch.log(logits.exp().sum(-1, keepdim=True) + 1e-6)
    per_row = -(labels * log_probs * real).sum(-1) / (labels.sum(-1) + 1e-6)
    return per_row.mean() / RANKS


def hinge(scores: Tensor, targets: Targets) -> Tensor:
    """Drawn clips of the moment should score higher than drawn clips outside it, by a margin."""
    gap = scores.gather(1, targets.negatives) - scores.gather(1, targets.positives)
    return 2 * (MARGIN + gap).clamp(min=0).mean()


def saliency_parts(outputs: Outputs, targets: Targets) -> Parts:
    """All parts of the saliency term, on the scores (`sal`) and on the attention (`attn`)."""
    negative, share = outputs.negative_saliency, outputs.negative_text_share
    on_scores = _contrast(outputs, targets, outputs.saliency, negative)
    on_attention = _contrast(outputs, targets, outputs.text_share, share)
    mask = outputs.audio_mask[outputs.has_negative]
    on_scores["neg_pair"] = _row_mean(functional.softplus(negative) * mask)
    on_attention["neg_pair"] = _row_mean(-torch.log(1 - share) * mask)
    # The reference computes this part for the attention and does not add it.
    on_attention["rank_falseneg"] = torch.zeros(())
    on_attention["bce"] = functional.binary_cross_entropy(outputs.text_share, targets.labels)
    return {f"sal_{name}": value for name, value in on_scores.items()} | {
        f"attn_{name}": value for name, value in on_attention.items()
    }


def _contrast(outputs: Outputs, targets: Targets, scores: Tensor, negative: Tensor) -> Parts:
    rows, mask, labels = outputs.has_negative, outputs.audio_mask, targets.labels
    zero = torch.zeros(())
    parts = {"hinge": hinge(scores, targets), "rank": zero, "rank_realneg": zero, "rank_falseneg": zero}
    if not rows.any():
        return parts | {"rank": rank(scores, labels, mask)}
    parts["rank_realneg"] = rank(
        torch.cat([scores[rows], negative], 1),
        torch.cat([labels[rows], torch.zeros_like(negative)], 1),
        torch.cat([mask[rows], mask[rows]], 1),
    )
    # In the reference a single row of this kind counts nothing, because of a wrong axis.
    if (~rows).sum() > 1:
        parts["rank_falseneg"] = rank(scores[~rows], labels[~rows], mask[~rows])
    return parts


def _row_mean(values: Tensor) -> Tensor:
    return values.sum(-1).mean() if len(values) else torch.zeros(())


def ms_align_parts(alignment: Alignment, outputs: Outputs, labels: Tensor) -> Parts:
    """Moment against sentence, moment against dummies, and clips against the moment token."""
    moment, rest, sentence, dummy = (
        functional.normalize(x, dim=-1)
        for x in (alignment.moment, alignment.rest, alignment.sentence, alignment.dummy_sentence)
    )
    own = torch.arange(len(labels))
    # "Anything but one's own column", as the reference reads it: the first other column.
    other = (own == 0).long()
    inside = torch.einsum("bd,btd->bt", alignment.moment, alignment.frames).sigmoid()
    clips = functional.binary_cross_entropy(inside, labels, reduction="none") * outputs.audio_mask
    return {
        "sentence_ce": functional.cross_entropy(torch.cat([moment @ sentence.T, rest @ sentence.T], 1), own),
        "dummy_ce": functional.cross_entropy(torch.cat([moment @ dummy.T, rest @ dummy.T], 1), other),
        "clip_bce": clips.mean(),
    }


def distillation(alignment: Alignment, outputs: Outputs, labels: Tensor) -> Tensor:
    """The cross attention inside the moment should follow the encoders' similarity."""
    teacher = alignment.similarity.detach().log_softmax(-1)
    student = torch.log(outputs.attention + 1e-6)
    per_clip = (teacher.exp() * (teacher - student)).mean(-1)
    return (per_clip * labels).sum() / labels.sum()


def orthogonal_parts(outputs: Outputs, prompts: Tensor) -> Parts:
    """Dummies of one text, and prompts, should point in different directions."""
    dummies = outputs.dummies
    alone = dummies.shape[1] == 1
    return {
        "dummy": torch.zeros(()) if alone else _off_diagonal(dummies),
        "prompt": _off_diagonal(prompts[None]),
    }


def _off_diagonal(vectors: Tensor) -> Tensor:
    unit = functional.normalize(vectors, dim=-1)
    alike = unit @ unit.detach().transpose(-1, -2)
    return (alike * (1 - torch.eye(vectors.shape[-2]))).abs().mean()


@dataclass(frozen=True)
class Criterion:
    """Loss terms by the reference's names, unweighted, and the parts inside three of them."""

    terms: Parts
    saliency: Parts
    ms_align: Parts
    orthogonal: Parts

    @property
    def total(self) -> Tensor:
        """The weighted sum."""
        return torch.stack([weight_of(name) * term for name, term in self.terms.items()]).sum()


def weight_of(name: str) -> float:
    """Weight of a term; `loss_span_0` weighs what `loss_span` does."""
    base = name.rsplit("_", 1)[0] if name[-1].isdigit() else name
    return WEIGHTS.get(base, 1)


def criterion(model: CGDETR, outputs: Outputs, targets: Targets) -> Criterion:
    """Compute every term; earlier decoder layers get a number after the name."""
    last = len(outputs.logits) - 1
    terms: Parts = {}
    for layer in range(last + 1):
        parts = detection(outputs.logits[layer], outputs.spans[layer], targets.spans)
        terms |= {name if layer == last else f"{name}_{layer}": value for name, value in parts.items()}
    alignment = model.alignment(outputs, targets.labels)
    saliency = saliency_parts(outputs, targets)
    ms_align = ms_align_parts(alignment, outputs, targets.labels)
    orthogonal = orthogonal_parts(outputs, model.global_rep_token)
    terms["loss_saliency"] = torch.stack(list(saliency.values())).sum()
    terms["loss_ms_align"] = torch.stack(list(ms_align.values())).sum()
    terms["loss_distill"] = distillation(alignment, outputs, targets.labels)
    terms["loss_orthogonal_dummy"] = torch.stack(list(orthogonal.values())).sum()
    return Criterion(terms, saliency, ms_align, orthogonal)
