"""What stages.json says: how long each stage of a run took, and how much memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from amrbench.training import log
from amrbench.training.stages import Spec

FILE = "stages.json"


def costs_of(chains: Sequence[Spec], store: Path) -> list[dict[str, str | int | float]]:
    """Return each stage once, in the order of training.

    A stage that was found and not trained says what it took when it was trained. The memory is the largest of
    its process up to its end, so in a process that trained other stages before it may be theirs.

    Args:
        chains: The last stage for each seed.
        store: Where the stages lie.
    """
    stages = {spec.key: spec for last in chains for spec in last.chain}
    return [
        {
            "stage": spec.name,
            "key": spec.key,
            "epochs": spec.stage.epochs,
            **log.cost_of(log.read_epochs(store / spec.key / log.FILE)),
        }
        for spec in stages.values()
    ]
