import numpy as np
import pytest
import torch
from torch import nn

from amrbench.data.feature_dataset import load_dataset, visit_rngs
from amrbench.slots.model import Limits
from amrbench.training.predict import predict
from amrbench.training.reading import Reading
from amrbench.types import Encoded, Proposals, Query
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
