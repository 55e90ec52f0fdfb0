"""Contract checks for parts, for the tests of plugins; the shipped parts pass the same checks.

    from amrbench import load_registry
    from amrbench.testing import check_part, sample

    def test_my_loss_keeps_the_contract():
        registry = load_registry()
        check_part(sample(MyLoss, registry), registry)

A failed check raises AssertionError with a text that says what is wrong. A plugin with slots of its own
passes their contracts as `contracts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from amrbench.interfaces import InterfaceError, ResultError
from amrbench.part import Part
from amrbench.registry import Registry
from amrbench.slots.model import ModelPart
from amrbench.testing.blocks import check_activation, check_block
from amrbench.testing.checkpoint import check_checkpoint
from amrbench.testing.data import check_augment, check_dataset, check_features, check_targets
from amrbench.testing.executors import check_executor
from amrbench.testing.losses import check_loss
from amrbench.testing.model import build_model, check_model, predict
from amrbench.testing.observers import check_observer
from amrbench.testing.options import check_options
from amrbench.testing.outcomes import outcome_of
from amrbench.testing.reading import check_ranking, check_readout
from amrbench.testing.small_data import (
    CONTEXT,
    WIDTHS,
    ContractFixture,
    close,
    expect,
    make_batch,
    make_query,
    make_recordings,
    make_target,
    pad_batch,
    pad_target,
    pick_rows,
    sample,
)
from amrbench.testing.soups import check_soup
from amrbench.testing.training import check_matcher, check_optimizer, check_schedule

__all__ = [
    "CONTEXT",
    "CONTRACTS",
    "WIDTHS",
    "Contract",
    "ContractFixture",
    "build_model",
    "check_model",
    "check_part",
    "close",
    "expect",
    "make_batch",
    "make_query",
    "make_recordings",
    "make_target",
    "outcome_of",
    "pad_batch",
    "pad_target",
    "pick_rows",
    "predict",
    "sample",
]

Contract = Callable[[Part, ContractFixture], None]
"""Raises AssertionError with a text where a part does not do what its slot requires."""

BLOCKS = (
    *("refine", "temporal_embedding", "attention_norm", "fusion", "encoder"),
    *("anchors", "query", "prior", "decoder", "head"),
)

CONTRACTS: Mapping[str, Contract] = {
    **dict.fromkeys(BLOCKS, check_block),
    "activation": check_activation,
    "augment": check_augment,
    "checkpoint": check_checkpoint,
    "dataset": check_dataset,
    "executor": check_executor,
    "features": check_features,
    "loss": check_loss,
    "matcher": check_matcher,
    "model": check_model,
    "observer": check_observer,
    "optimizer": check_optimizer,
    "ranking": check_ranking,
    "readout": check_readout,
    "schedule": check_schedule,
    "soup": check_soup,
    "targets": check_targets,
}
"""The contracts of the slots of the core."""


def check_part(
    part: Part,
    registry: Registry,
    *,
    contracts: Mapping[str, Contract] | None = None,
    models: Iterable[ModelPart] = (),
) -> None:
    """Check the options of a part, and the contract of its slot.

    Args:
        part: The part with the options to try; see `sample`.
        registry: The other parts that a check may need, such as models.
        contracts: Contracts of further slots, by slot.
        models: Models that have the slot of a block, or provide what a loss or matcher requires, where those
            of the registry do not.

    Raises:
        AssertionError: A check failed, or the slot has no contract.
    """
    known = {**CONTRACTS, **(contracts or {})}
    check_options(part, registry)
    expect(
        part.slot in known,
        f"the slot {part.slot!r} has no contract; pass contracts={{{part.slot!r}: ...}}. "
        f"Known: {', '.join(sorted(known))}.",
    )
    try:
        known[part.slot](part, ContractFixture(registry, tuple(models)))
    except (InterfaceError, ResultError) as error:
        raise AssertionError(f"{part.slot} {part.use!r}: {error}") from error
