"""Whether a further stage fits into memory beside those that are trained.

A stage is expected to need what stages of the same recipe and kind have needed, as their logs say. Before
there is such a log, the estimate has its features, its weights and the libraries, and not what a batch needs,
which only a step can show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from amrbench.data.feature_source import FeatureSource
from amrbench.files.free_memory import free_memory
from amrbench.training import log
from amrbench.training.criterion import build_criterion
from amrbench.training.log import Epoch
from amrbench.training.stage_spec import StageSpec
from amrbench.types import BuildContext

PROCESS_MIB = 500.0
"""Of a process that has imported torch and trains nothing."""
BYTES_OF_WEIGHT = 20
"""Of each parameter: itself, its gradient, two moments of an optimizer and an average, 4 bytes each."""
MIB = 2**20


class Room(Protocol):
    """Whether a further stage fits beside others."""

    def add(self, spec: StageSpec, epochs: Iterable[Epoch]) -> None:
        """Take note of what the epochs of a stage have needed."""

    def why_not(self, spec: StageSpec, running: Sequence[StageSpec]) -> str:
        """Return why a stage cannot begin beside others; empty if it can."""


class AnyRoom(Room):
    """Lets every stage begin: the user or the executor has said how many run at the same time."""

    @override
    def add(self, spec: StageSpec, epochs: Iterable[Epoch]) -> None:
        pass

    @override
    def why_not(self, spec: StageSpec, running: Sequence[StageSpec]) -> str:
        return ""


class MemoryRoom(Room):
    """Lets a stage begin if the memory that is free holds it, and what others have not yet taken."""

    def __init__(
        self, stages: Sequence[StageSpec], store: Path, free: Callable[[], float] = free_memory
    ) -> None:
        """Read the logs of stages that are finished already."""
        self.free = free
        self.measured: dict[tuple[str, int], float] = {}
        self.estimated: dict[tuple[str, int], float] = {}
        self.grown: set[str] = set()
        for spec in stages:
            self.add(spec, log.read_epochs(store / spec.key))

    @override
    def add(self, spec: StageSpec, epochs: Iterable[Epoch]) -> None:
        for epoch in epochs:
            self.grown.add(spec.key)
            kind = _kind(spec)
            self.measured[kind] = max(self.measured.get(kind, 0.0), epoch.memory_mib)

    @override
    def why_not(self, spec: StageSpec, running: Sequence[StageSpec]) -> str:
        needed = self.expected_mib(spec)
        # After an epoch a stage has what it needs, and that is not free any more.
        promised = sum(self.expected_mib(other) for other in running if other.key not in self.grown)
        free = self.free() / MIB - promised
        if not running or needed <= free:
            return ""
        return (
            f"{spec.name}: waits for memory: it may need {needed:,.0f} MiB, and {max(0.0, free):,.0f} MiB "
            "are free beside the stages that are trained; with --jobs N, N are trained at the same time "
            "in any case"
        )

    def expected_mib(self, spec: StageSpec) -> float:
        """Return the memory that a stage is expected to need in MiB."""
        kind = _kind(spec)
        if measured := self.measured.get(kind):
            return measured
        if kind not in self.estimated:
            sources, frames = (*spec.train, spec.select), spec.recipe.limits.frames
            self.estimated[kind] = estimated_mib(sources, frames, parameters_of(spec))
        return self.estimated[kind]


def _kind(spec: StageSpec) -> tuple[str, int]:
    """Return what stages share that differ in their seeds alone."""
    return spec.recipe.name, spec.index


def estimated_mib(sources: Iterable[FeatureSource], frames: int, parameters: int) -> float:
    """Return the memory of a stage without its batches in MiB.

    Args:
        sources: The splits that it reads; their rows are kept as float32.
        frames: Most rows of a recording.
        parameters: Number of them in its model and losses.
    """
    features = sum(_feature_bytes(source, frames) for source in sources)
    return PROCESS_MIB + (features + BYTES_OF_WEIGHT * parameters) / MIB


def _feature_bytes(source: FeatureSource, frames: int) -> float:
    rows = {query.vid: min(query.duration / source.hop, frames) for query in source.queries}
    return 4 * source.widths.audio * sum(rows.values())


def parameters_of(spec: StageSpec) -> int:
    """Return the number of parameters that a stage trains."""
    source = spec.train[0]
    windows = [(end - start) / query.duration for query in source.queries for start, end in query.windows]
    context = BuildContext(source.widths, 0, spec.stage.input_dropout, tuple(windows))
    criterion = build_criterion(spec.recipe, context)
    return sum(parameter.numel() for parameter in criterion.parameters())
