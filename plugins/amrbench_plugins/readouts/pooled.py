"""The proposals of several read-outs together."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from amrbench.slots.readout import Readout
from amrbench.types import Outputs, Proposals

SOURCE = "source"


def read_all(outputs: Outputs, *, readouts: Sequence[Readout]) -> Proposals:
    """Return the proposals of all read-outs, one read-out after another, with their scores.

    Evidence that a read-out does not give is 0 for its proposals. "source" is the index of the read-out.
    """
    pools = [read(outputs) for read in readouts]
    names = dict.fromkeys(name for pool in pools for name in pool.evidence)
    evidence = {
        name: torch.cat([pool.evidence.get(name, torch.zeros_like(pool.scores)) for pool in pools], 1)
        for name in names
    }
    sources = [torch.full_like(pool.scores, index) for index, pool in enumerate(pools)]
    return Proposals(
        torch.cat([pool.spans for pool in pools], 1),
        torch.cat([pool.scores for pool in pools], 1),
        {**evidence, SOURCE: torch.cat(sources, 1)},
    )
