"""The moments that a decoder proposes."""

from __future__ import annotations

from torch import Tensor

from amrbench.types import Outputs, Proposals


def read_decoder(outputs: Outputs) -> Proposals:
    """Return the spans of the last decoder layer, with "ranking_scores" as scores, or else "scores".

    The evidence is the probability of a moment, "class", and the predicted IoU with the truth, "iou".
    """
    tensors = outputs.tensors
    ranking = tensors.get("ranking_scores", tensors["scores"])
    evidence: dict[str, Tensor] = {"class": tensors["scores"][-1]}
    if "iou_logits" in tensors:
        evidence["iou"] = tensors["iou_logits"][-1, ..., 0].sigmoid()
    return Proposals(tensors["spans"][-1], ranking[-1], evidence)
