"""Queries that do not read each other, and that are left out in training."""

import pytest
import torch

from amrbench.registry import Registry
from amrbench.slots.blocks import Queries
from amrbench.testing import CONTEXT, check_part, make_batch, sample
from amrbench_plugins import beyond, moment_detr
from amrbench_plugins.beyond.parts import QueryDropout
from amrbench_plugins.beyond.query_dropout import DroppedQueries
from amrbench_plugins.moment_detr.model import MomentDetr
from amrbench_plugins.moment_detr.parts import Independent

REGISTRY = Registry.of(*moment_detr.amrbench_parts(), *beyond.amrbench_parts())


def build(**options):
    return MomentDetr.model_validate(MomentDetr.example | options, context=REGISTRY).build(CONTEXT)


@pytest.mark.parametrize("part", [Independent, QueryDropout])
def test_they_keep_the_contract(part):
    check_part(sample(part, REGISTRY), REGISTRY)


@pytest.mark.parametrize(("decoder", "alone"), [("independent", True), ("dab", False)])
def test_a_query_gives_the_same_moments_whatever_the_others_are(decoder, alone):
    model = build(decoder={"use": decoder, "layers": 2}).eval()
    with torch.no_grad():
        encoded = model.encode(make_batch())
        queries = model.query(encoded.tensors)
        whole = model.decoder(queries, encoded.state)
        some = model.decoder(Queries(queries.content[:, 3:5], queries.anchors[:, 3:5]), encoded.state)
    found, expected = some.hidden[-1], whole.hidden[-1, :, 3:5]  # contents are zero before the first layer
    assert torch.allclose(found, expected, atol=1e-5) == alone


def test_it_is_the_decoder_dab_without_self_attention():
    plain, independent = (build(decoder={"use": use, "layers": 2}).decoder for use in ("dab", "independent"))
    names = {name for name in plain.state_dict() if ".attention." not in name}
    assert independent.state_dict().keys() == names
    assert names < plain.state_dict().keys()


class Numbered(torch.nn.Module):
    """Queries that hold their number."""

    def forward(self, tensors):
        batch, count = tensors["size"]
        numbers = torch.arange(count, dtype=torch.float32)[None, :, None].expand(batch, -1, -1)
        return Queries(numbers.expand(-1, -1, 4), numbers.expand(-1, -1, 2) / 100)


@pytest.mark.parametrize(("count", "share", "kept"), [(10, 0.25, 8), (8, 0.25, 6), (1, 0.9, 1), (5, 0, 5)])
def test_training_keeps_the_same_number_in_order(count, share, kept):
    queries = DroppedQueries(Numbered(), share).train()({"size": (3, count)})
    assert queries.content.shape == (3, kept, 4)
    assert queries.anchors.shape == (3, kept, 2)
    numbers = queries.content[..., 0]
    assert (numbers.diff(dim=1) > 0).all()
    torch.testing.assert_close(queries.anchors[..., 1] * 100, numbers)


def test_every_query_is_left_out_as_often_and_recordings_differ():
    torch.manual_seed(0)
    queries = DroppedQueries(Numbered(), 0.25).train()({"size": (4000, 8)})
    counts = torch.bincount(queries.content[..., 0].flatten().long(), minlength=8) / 4000
    torch.testing.assert_close(counts, torch.full((8,), 0.75), atol=0.03, rtol=0)
    assert len(queries.content[..., 0].unique(dim=0)) == 28  # all choices of 6 of 8


def test_evaluation_keeps_all():
    queries = DroppedQueries(Numbered(), 0.25).eval()({"size": (2, 8)})
    assert queries.content.shape == (2, 8, 4)


def test_it_requires_what_the_wrapped_part_does():
    part = sample(QueryDropout, REGISTRY)
    assert part.requires == frozenset({"audio"})


def test_a_whole_model_trains_with_both():
    anchors = {"use": "random", "count": 8}
    query = {"use": "query-dropout", "around": {"use": "zeros", "anchors": anchors}}
    model = build(query=query, decoder={"use": "independent", "layers": 2})
    batch = make_batch()
    spans = model.train().decode(model.encode(batch))["spans"]
    assert spans.shape == (2, 4, 6, 2)
    spans.sum().backward()
    assert model.query.around.anchors.logits.grad.isfinite().all()
    assert model.eval().decode(model.encode(batch))["spans"].shape == (2, 4, 8, 2)
