import numpy as np
import pytest
import torch
from torch import nn

from amrbench.data.feature_dataset import load_dataset, visit_rngs
from amrbench.errors import DataError
from amrbench.slots.model import Limits
from amrbench.training.criterion import tensors_of
from amrbench.training.predict import candidates_of, predict, read, validate
from amrbench.training.reading import Reading
from amrbench.types import Encoded, Proposals, Query
from amrbench_plugins.moment_detr.tensors import LazyTensors
from tests.small_world.data import drawn_source
from tests.small_world.parts import AllWindows

QUERIES = (
    Query("0", "a door", "long", 600.0, ((100.0, 120.0),)),
    Query("1", "a dog", "short", 200.4, ((20.0, 60.0),)),
)
SECONDS = {"0": 300, "1": 200.4}


class Oracle(nn.Module):
    """Predicts the spans of the training targets."""

    def __init__(self, dataset):
        super().__init__()
        self.target = targets(dataset)

    def encode(self, batch, views=()):
        return Encoded(batch.recording, {})

    def decode(self, encoded):
        return {"spans": self.target.spans[encoded.state]}


def equal_scores(outputs):
    """Propose all spans."""
    spans = outputs.tensors["spans"]
    return Proposals(spans, torch.ones(spans.shape[:2]))


def targets(dataset):
    _, target = dataset.training_batch(
        range(len(dataset)), labels=AllWindows().build(), augments=[], rng_of=visit_rngs(0, 0)
    )
    return target


@pytest.fixture
def dataset():
    """A recording of 600 s that is cut to 300, and one that is shorter than the limit."""
    return load_dataset([drawn_source(QUERIES)], Limits(frames=300, words=4))


def test_the_targets_as_predictions_give_the_windows(dataset):
    """Spans of a recording that is cut are fractions of what is left of it, in targets and predictions."""
    predictions = predict(Oracle(dataset), dataset, Reading(equal_scores), device=torch.device("cpu"))
    for query, moments in zip(QUERIES, predictions, strict=True):
        # As in the baseline, targets are fractions of the rows, moments of the annotated duration.
        tolerance = abs(SECONDS[query.qid] - int(SECONDS[query.qid])) + 1e-3
        np.testing.assert_allclose(moments.windows, query.windows, atol=tolerance)


def test_frames_inside_a_window_of_a_cut_recording_are_those_of_its_seconds(dataset):
    relevant = targets(dataset).relevant[0]
    assert relevant.nonzero().flatten().tolist() == list(range(100, 120))


# ---------------------------------------------------------------- read-outs


class Similarities(nn.Module):
    """Says the mean of each frame, and that of the first word; counts the batches."""

    def __init__(self):
        super().__init__()
        self.encoded = 0

    def encode(self, batch, views=()):
        self.encoded += 1
        return Encoded(batch.text.mean((1, 2)), {"means": batch.audio.mean(-1), "decoded": "hidden"})

    def decode(self, encoded):
        return {"decoded": encoded.state}


def highest(count):
    """Return a read-out that proposes the frames with the highest means, in the order of time."""

    def propose(outputs):
        means = outputs.tensors["means"].masked_fill(~outputs.mask, -torch.inf)
        scores, frames = means.topk(min(count, means.shape[1]), dim=1)
        frames, order = frames.sort(dim=1)
        spans = torch.stack([frames + 0.5, torch.ones_like(frames)], -1) / outputs.mask.sum(1)[:, None, None]
        return Proposals(spans, scores.gather(1, order), {"frame": frames.float()})

    return propose


def text_of(outputs):
    """Propose everything, with the number that the decoder gives as score."""
    scores = outputs.tensors["decoded"][:, None]
    return Proposals(torch.tensor([0.5, 1.0]).expand(len(scores), 1, 2), scores)


@pytest.fixture(scope="module")
def recordings():
    """More queries than fit into a batch, of recordings of many lengths."""
    rng = np.random.default_rng(0)
    queries = [
        Query(str(index), f"a sound {index}", f"v{index // 2}", float(seconds), ((1.0, 2.0),))
        for index, seconds in enumerate(np.repeat(rng.integers(3, 40, 35), 2))
    ]
    return load_dataset([drawn_source(queries)], Limits(frames=300, words=4))


def same(one, other):
    """Whether two lists of candidates are the same bits."""
    return all(
        np.array_equal(a.moments, b.moments)
        and a.evidence.keys() == b.evidence.keys()
        and all(np.array_equal(a.evidence[name], b.evidence[name]) for name in a.evidence)
        for a, b in zip(one, other, strict=True)
    )


def test_two_readouts_in_one_pass_give_what_each_gives_alone(recordings):
    model, readouts = Similarities(), {"few": highest(3), "text": text_of, "many": highest(9)}
    together = read(model, recordings, readouts, device=torch.device("cpu"))
    assert (list(together), model.encoded) == (list(readouts), 3), "70 queries are three batches"
    for name, readout in readouts.items():
        alone = read(Similarities(), recordings, {"x": readout}, device=torch.device("cpu"))["x"]
        assert same(together[name], alone)
    assert not same(together["few"], together["text"])


def test_candidates_are_in_the_order_of_the_dataset_and_best_first(recordings):
    found = read(Similarities(), recordings, {"x": highest(4)}, device=torch.device("cpu"))["x"]
    for index, own in enumerate(found):
        audio = recordings.batch([index]).audio[0].mean(-1)
        frames = audio.argsort(descending=True, stable=True)[:4]
        assert len(own) == min(4, len(audio))
        assert own.evidence["frame"].tolist() == frames.tolist()
        np.testing.assert_allclose(own.moments[:, 0], frames, atol=1e-4)
        np.testing.assert_allclose(own.moments[:, 1], frames + 1, atol=1e-4)
        np.testing.assert_allclose(own.moments[:, 2], audio[frames], rtol=1e-6)
        assert own.moments.dtype == np.float32


def test_proposals_with_the_lowest_score_are_dropped_with_their_evidence():
    spans = torch.tensor([[0.1, 0.2], [0.3, 0.2], [0.5, 0.2], [0.7, 0.2]]).expand(3, 4, 2)
    none = -torch.inf
    scores = torch.tensor(
        [[0.5, none, 0.5, 0.9], [none, none, none, none], [torch.nan, none, 0.1, torch.inf]]
    )
    numbers = torch.arange(12.0).view(3, 4)
    first, second, third = candidates_of(Proposals(spans, scores, {"n": numbers}), torch.tensor([10, 20, 30]))
    assert first.evidence["n"].tolist() == [3, 0, 2], "best first; equal scores keep their order"
    np.testing.assert_allclose(first.moments, [[6, 8, 0.9], [0, 2, 0.5], [4, 6, 0.5]], rtol=1e-5, atol=1e-6)
    assert second.moments.shape == (0, 3)
    assert second.evidence["n"].shape == (0,)
    assert sorted(third.evidence["n"].tolist()) == [8, 10, 11], "what is not a number is refused, not dropped"
    assert np.isnan(third.moments[:, 2]).sum() == 1


def test_a_score_that_is_no_number_is_refused_and_named(recordings):
    def broken(outputs):
        proposals = text_of(outputs)
        return Proposals(proposals.spans, proposals.scores * torch.nan)

    with pytest.raises(DataError, match="not finite"):
        validate(Similarities(), recordings, {"x": broken}, device=torch.device("cpu"), select=["R1@0.7"])


def test_a_readout_without_proposals_scores_nothing(recordings):
    def none(outputs):
        return Proposals(torch.zeros(len(outputs.mask), 0, 2), torch.zeros(len(outputs.mask), 0))

    metrics = validate(
        Similarities(),
        recordings,
        {"none": none, "text": text_of},
        device=torch.device("cpu"),
        select=["R1@0.1"],
    )
    assert list(metrics) == ["none", "text"]
    assert set(metrics["none"].values()) == {0.0}
    assert metrics["text"]["R1@0.1"] > 0


def test_what_is_decoded_comes_before_what_is_encoded(recordings):
    model = Similarities()
    tensors = tensors_of(model, model.encode(recordings.batch([0])))
    assert torch.is_tensor(tensors["decoded"])
    assert set(tensors) == {"means", "decoded"}


def test_tensors_that_no_readout_reads_are_not_made(recordings):
    class Slow(Similarities):
        """Makes a tensor on request."""

        def encode(self, batch, views=()):
            return Encoded(None, LazyTensors({"means": batch.audio.mean(-1)}, {"slow": pytest.fail}))

        def decode(self, encoded):
            return {}

    assert len(read(Slow(), recordings, {"x": highest(2)}, device=torch.device("cpu"))["x"]) == 70
