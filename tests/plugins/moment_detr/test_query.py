"""The queries of the baseline."""

from __future__ import annotations

import torch

from tests.plugins.moment_detr import small


def test_queries_differ_by_their_anchors_alone() -> None:
    query = small.model(query={"use": "zeros", "anchors": {"use": "random", "count": 7}}).query
    with torch.no_grad():
        queries = query({"audio": torch.randn(2, 5, 16)})
    assert queries.content.shape == (2, 7, 16)
    assert not queries.content.any()
    assert queries.anchors.shape == (2, 7, 2)
    assert queries.anchors[0].equal(queries.anchors[1])
    assert 0 < float(queries.anchors.min()) < float(queries.anchors.max()) < 1
    assert len(queries.anchors[0].unique(dim=0)) == 7
