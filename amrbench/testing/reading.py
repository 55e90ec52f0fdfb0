"""The contracts of read-outs and of ranking steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from amrbench.interfaces import brief
from amrbench.part import Part
from amrbench.slots.model import ModelPart
from amrbench.slots.ranking import RankingPart
from amrbench.slots.readout import Readout, ReadoutPart
from amrbench.testing.model import build_model, predict
from amrbench.testing.model_runs import ALONE, LEAVE_OUT, rows_of
from amrbench.testing.outcomes import declared, provider_of
from amrbench.testing.small_data import CONTEXT, ContractFixture, close, expect, make_batch, make_query
from amrbench.testing.unchanged import unchanged
from amrbench.training.reading import Examples, propose
from amrbench.types import Candidates, Outputs, Plain, Proposals, Query, Ranking

EXAMPLES = 30
EVIDENCE = frozenset({"class", "iou", "saliency.inside", "saliency.outside", "source"})
"""What the moments of the check have, besides what a step requires."""
IN_PADDING = 9.0

# ---------------------------------------------------------------- read-outs


def check_readout(part: Part, fixture: ContractFixture) -> None:
    """Check the proposals for what models provide: shapes, numbers, order, batch, padding and repetition."""
    who, part = f"readout {part.use!r}", cast("ReadoutPart", part)
    readouts = []
    for widths in (CONTEXT.window_widths, ()):
        fitted, again = part.fit(widths), part.fit(widths)
        expect(fitted == again, f"{who}: fitting it again gives something else. Keep no state.")
        readouts.append(part.build(_through_json(fitted, who)))
    for model in _providers(part, fixture, who):
        outputs = Outputs(predict(build_model(model), make_batch()), make_batch().audio_mask)
        for readout in readouts:
            readout(Outputs(declared(outputs.tensors, part.requires, who), outputs.mask))
            _check_proposals(part, readout, model, outputs)
            _check_changes(readout, outputs, model.provides, who)


def _providers(part: ReadoutPart, fixture: ContractFixture, who: str) -> list[ModelPart]:
    """Return a model that provides what a read-out requires, and the one with most of its evidence."""
    first = provider_of(part.requires, fixture, who)
    able = [model for model in fixture.all_models() if part.requires <= model.provides.keys()]
    tensors = set(part.evidence.values())
    most = max(able, key=lambda model: len(tensors & model.provides.keys()))
    return [first] if most == first else [first, most]


def _check_proposals(part: ReadoutPart, readout: Readout, model: ModelPart, outputs: Outputs) -> None:
    """Check shapes and numbers of proposals, their evidence, and that a call changes nothing."""
    who = f"readout {part.use!r}"
    with unchanged(who, outputs=outputs):
        proposals = propose(readout, outputs)
    spans, scores = proposals.spans, proposals.scores
    given = scores > -torch.inf
    expect(bool(spans.isfinite().all()), f"{who}: a span is not finite, which it must be for any score.")
    expect(bool((spans[..., 1] >= 0).all()), f"{who}: a span has a negative width.")
    expect(bool((scores < torch.inf).all()), f"{who}: a score is neither finite nor -inf.")
    expect(bool(given.any(1).all()), f"{who}: it proposes no moment for a query.")
    for name, tensor in part.evidence.items():
        possible = not tensor or tensor in model.provides
        expect(name in proposals.evidence or not possible, f"{who}: it does not give the evidence {name!r}.")
    for name, column in proposals.evidence.items():
        expect(bool(column[given].isfinite().all()), f"{who}: the evidence {name!r} is not finite.")
    same = _differs(proposals, propose(readout, outputs), list(range(len(scores))), within=0)
    expect(not same, f"{who}: calling it again changes {same}. Keep no state.")


def _check_changes(readout: Readout, outputs: Outputs, axes: Mapping[str, str], who: str) -> None:
    """Check that padding and the rest of the batch change no proposal."""
    plain = propose(readout, outputs)
    rows = list(range(len(outputs.mask)))
    differs = _differs(plain, propose(readout, _padded(outputs, axes)), rows)
    expect(not differs, f"{who}: other numbers in the padding, or more of it, change {differs}. {LEAVE_OUT}")
    for cause, order in (
        ("the order of the queries changes", [2, 0, 3, 1]),
        ("the rest of the batch changes", [1]),
    ):
        tensors = {name: _rows(tensor, axes[name], order) for name, tensor in outputs.tensors.items()}
        differs = _differs(plain, propose(readout, Outputs(tensors, outputs.mask[order])), order)
        expect(not differs, f"{who}: {cause} {differs}. {ALONE}")


def _differs(one: Proposals, other: Proposals, rows: list[int], *, within: float = 1e-5) -> str:
    """Return what differs between proposals with finite scores; `other` has some rows of `one`."""
    for index, row in enumerate(rows):
        real = [own.scores[at] > -torch.inf for own, at in ((one, row), (other, index))]
        columns = {"the spans": (one.spans, other.spans), "the scores": (one.scores, other.scores)}
        columns |= {
            f"the evidence {name!r}": (one.evidence[name], other.evidence[name]) for name in one.evidence
        }
        for name, (before, after) in columns.items():
            if not close(before[row][real[0]], after[index][real[1]], within=within):
                return name
    return ""


def _padded(outputs: Outputs, axes: Mapping[str, str], more: int = 5) -> Outputs:
    """Return outputs with more frames of padding, and other numbers in all of it."""
    mask = functional.pad(outputs.mask, (0, more))
    tensors = {}
    for name, tensor in outputs.tensors.items():
        letters = axes[name].split()
        if "T" in letters:
            frames = functional.pad(tensor.movedim(letters.index("T"), -1), (0, more), value=IN_PADDING)
            letters = [*(letter for letter in letters if letter != "T"), "T"]
            if "B" in letters:
                batch = letters.index("B")
                real = mask.view(*(len(mask) if at == batch else 1 for at in range(len(letters) - 1)), -1)
                frames = frames.masked_fill(~real, IN_PADDING)
            tensor = frames.movedim(-1, axes[name].split().index("T"))
        tensors[name] = tensor
    return Outputs(tensors, mask)


def _rows(tensor: Tensor, axes: str, rows: list[int]) -> Tensor:
    return rows_of(tensor, axes, rows) if "B" in axes.split() else tensor


# ---------------------------------------------------------------- ranking


def check_ranking(part: Part, fixture: ContractFixture) -> None:
    """Check that the result is a list of moments, best first, and that what is given is not changed.

    A step that learns is fitted on made examples first.
    """
    who, part = f"ranking {part.use!r}", cast("RankingPart", part)
    fitted: Mapping[str, Plain] = {}
    if part.learns:
        fitted = _fitted(part, who)
    _check_lists(part.build(fitted), part.requires, who)


def _fitted(part: RankingPart, who: str) -> dict[str, Plain]:
    """Return what a step learns from made examples, read again from JSON."""
    examples = _examples(part.requires)
    with _random_state_kept(who):
        fitted = part.fit(examples)
    for (given, _), (made, _) in zip(examples, _examples(part.requires), strict=True):
        expect(_same(given, made), f"{who}: `fit` writes into the examples. Change a copy.")
    expect(
        fitted == part.fit(examples),
        f"{who}: fitting it again gives something else. Draw from a generator with a fixed seed.",
    )
    return _through_json(fitted, who)


def _check_lists(rank: Ranking, requires: frozenset[str], who: str) -> None:
    """Check the list that a step returns for four moments, and for none."""
    moments = np.array([[3, 8, 0.9], [-2, 4.123456, 0.5], [2.9, 8.2, 0.5], [15, 31, 0.1]], dtype=np.float32)
    given = _with_evidence(moments, requires, np.random.default_rng(0))
    before = Candidates(moments.copy(), {name: column.copy() for name, column in given.evidence.items()})
    query = replace(make_query(), windows=())
    ranked = rank(given, query)
    expect(isinstance(ranked, Candidates), f"{who}: it returns {brief(ranked)}, not Candidates.")
    expect(_same(given, before), f"{who}: it writes into the list that it is given. Copy it.")
    table = ranked.moments
    expect(table.ndim == 2 and table.shape[1] == 3, f"{who}: its moments are {table.shape}, not (N, 3).")
    expect(len(table) > 0, f"{who}: it returns no moment of four.")
    expect(bool(np.isfinite(table).all()), f"{who}: a moment is not finite.")
    expect(bool((table[:, 0] <= table[:, 1]).all()), f"{who}: a moment ends before it starts.")
    expect(bool((np.diff(table[:, 2]) <= 0).all()), f"{who}: its list is not sorted by score, best first.")
    lost = sorted(given.evidence.keys() - ranked.evidence.keys())
    expect(not lost, f"{who}: it loses the evidence {', '.join(lost)}, which later steps may read.")
    for name, column in ranked.evidence.items():
        expect(
            column.shape == (len(table),),
            f"{who}: the evidence {name!r} is {column.shape} for {len(table)} moments.",
        )
    empty = rank(given.at([]), query)
    expect(
        empty.moments.shape == (0, 3),
        f"{who}: it returns {empty.moments.shape} for an empty list, not (0, 3).",
    )
    expect(_same(rank(given, query), ranked), f"{who}: calling it again gives another list. Keep no state.")


def _examples(requires: frozenset[str]) -> Examples:
    """Return moments near and far from the truth of made queries."""
    rng = np.random.default_rng(1)
    examples = []
    for index in range(EXAMPLES):
        start = float(rng.integers(0, 14))
        end = start + float(rng.integers(1, 6))
        near = np.array([start, end]) + rng.normal(size=(6, 2))
        moments = np.column_stack([np.sort(near, 1), np.sort(rng.random(6))[::-1]]).astype(np.float32)
        query = Query(f"q{index}", "a dog barks", f"v{index}", 20.0, ((start, end),))
        examples.append((_with_evidence(moments, requires, rng), query))
    return examples


def _with_evidence(
    moments: np.ndarray[Any, np.dtype[np.float32]], requires: frozenset[str], rng: np.random.Generator
) -> Candidates:
    evidence = {name: rng.random(len(moments), np.float32) for name in sorted(EVIDENCE | requires)}
    evidence["source"] = (np.arange(len(moments)) % 2).astype(np.float32)
    return Candidates(moments, evidence)


def _same(one: Candidates, other: Candidates) -> bool:
    return (
        np.array_equal(one.moments, other.moments)
        and one.evidence.keys() == other.evidence.keys()
        and all(np.array_equal(column, other.evidence[name]) for name, column in one.evidence.items())
    )


@contextmanager
def _random_state_kept(who: str) -> Iterator[None]:
    """Raise AssertionError if the global random state of numpy or torch is another one afterwards."""
    before = _random_state()
    yield
    same = before == _random_state()
    expect(same, f"{who}: `fit` draws from the global random state. Use a generator of its own.")


def _random_state() -> tuple[bytes, int, list[int]]:
    numpy_state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return numpy_state["key"].tobytes(), int(numpy_state["pos"]), torch.get_rng_state().tolist()


def _through_json(fitted: Mapping[str, Plain], who: str) -> dict[str, Plain]:
    """Return what `fit` returned, written as JSON and read again, as between a run and its result file."""
    expect(isinstance(fitted, Mapping), f"{who}: `fit` returns {brief(fitted)}, not a mapping.")
    try:
        again: dict[str, Plain] = json.loads(json.dumps(dict(fitted), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{who}: what it fits cannot be written as JSON: {error}.") from None
    expect(
        again == dict(fitted),
        f"{who}: what it fits is not the same after JSON. Use text, numbers, lists, and mappings with text "
        "as keys.",
    )
    return again
