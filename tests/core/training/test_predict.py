import numpy as np
import pytest
import torch
from torch import nn

from amrbench.data.feature_dataset import load_dataset, visit_rngs
from amrbench.training.predict import predict
from amrbench.types import Encoded, Limits, Prediction, Query
from amrbench_plugins.cgdetr.moments import Moments
from tests.core.data.test_feature_dataset import Drawn

QUERIES = (
    Query("0", "a door", "long", 600.0, ((100.0, 120.0),)),
    Query("1", "a dog", "short", 200.4, ((20.0, 60.0),)),
)
SECONDS = {"0": 300, "1": 200.4}


class Oracle(nn.Module):
    """Gives the spans that training would ask for."""

    def __init__(self, split):
        super().__init__()
        self.split = split
        self.target = targets(split)
        self.at = None

    def encode(self, batch, views=()):
        return Encoded(batch.recording, {})

    def decode(self, encoded):
        spans = self.target.spans[encoded.state]
        return Prediction(spans, torch.ones(spans.shape[:2]), {})


def targets(split):
    labels = Moments(saliency="all-windows").build()
    _, target = split.training_batch(range(len(split)), labels=labels, augments=[], rng_of=visit_rngs(0, 0))
    return target


@pytest.fixture
def split():
    """A recording of 600 s, of which 300 are heard, and one that is heard whole."""
    return load_dataset([Drawn(QUERIES)], Limits(frames=300, words=4))


def test_who_learned_the_targets_finds_the_windows(split):
    """Shares of a recording that is cut are shares of what is heard, in training and afterwards."""
    found = predict(Oracle(split), split, device=torch.device("cpu"))
    for query, moments in zip(QUERIES, found, strict=True):
        # The baseline's rule: targets are shares of the rows, moments shares of the annotated duration.
        near = abs(SECONDS[query.qid] - int(SECONDS[query.qid])) + 1e-3
        np.testing.assert_allclose(moments.windows, query.windows, atol=near)


def test_frames_inside_a_window_of_a_cut_recording_are_those_of_its_seconds(split):
    relevant = targets(split).relevant[0]
    assert relevant.nonzero().flatten().tolist() == list(range(100, 120))
