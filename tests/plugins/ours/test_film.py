"""Content queries: learned ones, and ones that the text modulates."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.plugins.moment_detr.small import batch
from tests.plugins.ours import small


def query(**options):
    return small.built("query", "film", anchors={"use": "random", "count": 3}, **options)


@pytest.fixture
def summary():
    return torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def test_at_first_the_text_changes_nothing(summary):
    module = query()
    queries = module({"summary.text": summary})
    assert queries.content.equal(module.content.expand(2, -1, -1))
    assert queries.anchors.equal(module.anchors().expand(2, -1, -1))
    assert float(module.content.detach().std()) == pytest.approx(0.02, rel=0.3)


def test_scale_and_shift_by_hand():
    module = query()
    with torch.no_grad():
        module.modulation.bias.copy_(torch.cat([torch.full((8,), 0.5), torch.arange(8.0)]))
        module.modulation.weight[0, 0], module.modulation.weight[8, 1] = 1, 10
        module.content.fill_(2)
    # The layer norm changes nothing here.
    summary = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]])
    content = module({"summary.text": summary}).content[0].tolist()
    assert content == [pytest.approx([2 * 2.5 - 10, 4, 5, 6, 7, 8, 9, 10], abs=1e-3)] * 3


def test_the_scale_of_the_summary_changes_nothing(summary):
    module = small.stirred(query())
    one, other = (module({"summary.text": factor * summary}).content for factor in (1, 10))
    assert_close(one, other, rtol=0, atol=1e-3)


def test_zeros_leave_only_the_shift(summary):
    module = query(content="zeros")
    small.stirred(module.modulation)
    content = module({"summary.text": summary}).content
    assert content[:, :1].expand_as(content).equal(content)
    assert small.gap(content[0], content[1]) > 0.1
    assert not module.content.any()


def test_gradients_are_right(summary):
    module = small.stirred(query()).double()
    weights = {name: weight for name, weight in module.named_parameters() if "modulation" in name}

    def content(summary, weight, bias):
        changed = dict(zip(weights, (weight, bias), strict=True))
        return torch.func.functional_call(module, changed, ({"summary.text": summary},)).content

    assert torch.autograd.gradcheck(content, (summary.double().requires_grad_(), *weights.values()))


def test_every_weight_learns(summary):
    module = small.stirred(query())
    queries = module({"summary.text": summary})
    (queries.content.pow(2).sum() + queries.anchors.sum()).backward()
    assert small.without_gradient(module) == []


@torch.no_grad()
def spans(model, batch):
    return model.decode(model.encode(batch))["spans"][-1]


@pytest.mark.parametrize("words", [(4, 1, 3), (1, 1, 1)])
def test_texts_change_predictions_and_stay_with_their_recordings(words):
    model = small.model(query={"use": "film"})
    small.stirred(model.query.modulation)
    first = batch((9, 9, 9), words)
    order = [2, 0, 1]
    other = replace(first, text=first.text[order], text_mask=first.text_mask[order])
    assert small.gap(spans(model, first), spans(model, other)) > 1e-3
    moved = replace(other, audio=first.audio[order])
    assert_close(spans(model, moved), spans(model, first)[order], rtol=0, atol=1e-5)


def test_training_mode_computes_the_same():
    model = small.model(query={"use": "film"}, dropout=0.0)
    small.stirred(model.query.modulation)
    plain = spans(model, batch())
    assert_close(spans(model.train(), batch()), plain, rtol=0, atol=1e-6)


def test_learned_content_does_not_depend_on_the_text():
    module = small.built("query", "learned", anchors={"use": "random", "count": 3})
    queries = module({"audio": torch.zeros(2, 5, 8)})
    assert queries.content.equal(module.content.expand(2, -1, -1))
    assert queries.anchors.shape == (2, 3, 2)
    (queries.content.pow(2).sum() + queries.anchors.sum()).backward()
    assert small.without_gradient(module) == []


def test_text_and_learned_queries_start_alike():
    queries = {
        use: small.model(query={"use": use, "anchors": {"use": "random", "count": 4}}).query
        for use in ("learned", "film", "zeros")
    }
    assert queries["film"].content.equal(queries["learned"].content)
    assert queries["film"].anchors.logits.equal(queries["zeros"].anchors.logits)


def test_the_model_trains_no_content_of_zeros():
    model = small.model(query={"use": "film", "content": "zeros"})
    assert [name for name, weight in model.named_parameters() if not weight.requires_grad] == [
        "query.content"
    ]
