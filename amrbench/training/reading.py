"""Read-outs and ranking steps of a recipe: fitted, and built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from amrbench.config.recipe import Recipe
from amrbench.evaluation.result import Fitted
from amrbench.functional.curves import means_of
from amrbench.interfaces import ResultError, brief, checked_result
from amrbench.slots.ranking import RankingPart
from amrbench.slots.readout import Readout, ReadoutPart
from amrbench.types import Candidates, Outputs, Proposals, Query, Ranking

Examples = Sequence[tuple[Candidates, Query]]
"""Candidates of queries, with their ground truth."""


@dataclass(frozen=True)
class Reading:
    """How moments are made of what a model says: a read-out, and the steps that rank them."""

    readout: Readout
    ranking: tuple[Ranking, ...] = ()


def propose(readout: Readout, outputs: Outputs) -> Proposals:
    """Return the proposals of a read-out, with the evidence that every model with saliency gives.

    Raises:
        ResultError: The read-out returns something else.
    """
    proposals = checked_result(readout, "__call__", readout(outputs), Proposals)
    spans, scores, size = proposals.spans, proposals.scores, len(outputs.mask)
    fits = isinstance(spans, Tensor) and isinstance(scores, Tensor)
    if not fits or spans.shape != (*scores.shape, 2) or scores.ndim != 2 or len(scores) != size:
        shapes = f"spans {brief(spans)} and scores {brief(scores)}"
        raise ResultError(
            f"it returns {shapes}, not (B, N, 2) and (B, N) for B = {size}.", readout, "__call__"
        )
    for name, tensor in proposals.evidence.items():
        if not isinstance(tensor, Tensor) or tensor.shape != scores.shape:
            text = f"its evidence {name!r} is {brief(tensor)}, not (B, N) like the scores"
            raise ResultError(f"{text}, {tuple(scores.shape)}.", readout, "__call__")
    if "saliency" not in outputs.tensors:
        return proposals
    means = means_of(outputs.tensors["saliency"], outputs.mask, spans)
    evidence = {**proposals.evidence, "saliency.inside": means.inside, "saliency.outside": means.outside}
    return Proposals(spans, scores, evidence)


def rank(candidates: Candidates, query: Query, steps: Sequence[Ranking]) -> Candidates:
    """Return the candidates after ranking steps, which do not see the ground truth of the query.

    Raises:
        ResultError: A step returns something else.
    """
    unanswered = Query(query.qid, query.query, query.vid, query.duration, ())
    for step in steps:
        candidates = checked_result(step, "__call__", step(candidates, unanswered), Candidates)
        if candidates.moments.ndim != 2 or candidates.moments.shape[1] != 3:
            raise ResultError(
                f"it returns moments of {brief(candidates.moments)}, not (N, 3).", step, "__call__"
            )
    return candidates


def fit_readouts(parts: Sequence[ReadoutPart], widths: tuple[float, ...]) -> dict[str, Readout]:
    """Return read-outs by name, fitted on the widths of training windows."""
    return {part.use: part.build(part.fit(widths)) for part in parts}


def fit_ranking(
    parts: Sequence[RankingPart], examples: Callable[[], Examples]
) -> dict[str, Mapping[str, Any]]:
    """Return what each ranking step learned, by its name; none for steps that do not learn.

    Args:
        parts: The steps, in their order.
        examples: Returns queries of the selection split; called only if a step learns.
    """
    fitted: dict[str, Mapping[str, Any]] = {}
    if not any(part.learns for part in parts):
        return fitted
    ranked = list(examples())
    for part in parts:
        if part.learns:
            fitted[part.use] = checked_result(part, "fit", part.fit(ranked), Mapping)  # type: ignore[type-abstract]
        step = part.build(fitted.get(part.use, {}))
        ranked = [(rank(candidates, query, [step]), query) for candidates, query in ranked]
    return fitted


def fit_reading(recipe: Recipe, widths: tuple[float, ...], examples: Callable[[Readout], Examples]) -> Fitted:
    """Return what the read-out and the ranking steps of a recipe take from data.

    Args:
        recipe: The recipe.
        widths: Of all training windows, as fractions of their recordings.
        examples: Reads the queries of the selection split; called only if a ranking step learns.
    """
    readout = recipe.readout.fit(widths)
    ranking = fit_ranking(recipe.ranking, lambda: examples(recipe.readout.build(readout)))
    return Fitted(readout=readout, ranking=ranking)


def build_reading(recipe: Recipe, fitted: Fitted) -> Reading:
    """Return the read-out and the ranking steps of a recipe with what was fitted."""
    steps = tuple(part.build(fitted.ranking.get(part.use, {})) for part in recipe.ranking)
    return Reading(recipe.readout.build(fitted.readout), steps)
