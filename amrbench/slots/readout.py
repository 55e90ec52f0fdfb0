"""Read-outs: from what a model says to moments."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from amrbench.errors import did_you_mean
from amrbench.part import Part

if TYPE_CHECKING:
    from amrbench.slots.ranking import RankingPart
    from amrbench.types import Outputs, Plain, Proposals


SALIENCY_EVIDENCE: Mapping[str, str] = {"saliency.inside": "saliency", "saliency.outside": "saliency"}
"""Evidence that every proposal has, and the tensor that it needs: the mean inside of it, and outside."""


class Readout(Protocol):
    """Makes moments of what a model says. It may be a function, and has no weights."""

    def __call__(self, outputs: Outputs) -> Proposals:
        """Return proposals; each depends on its own query alone, and on no padding."""


class ReadoutPart(Part):
    """How moments are read out of the tensors that a model provides. It trains nothing."""

    slot = "readout"
    builds = Readout
    requires: ClassVar[frozenset[str]] = frozenset()
    """Names of the tensors that it reads."""
    evidence: ClassVar[Mapping[str, str]] = {}
    """Evidence that it gives with each proposal, and the tensor of the model that each needs ("" for none).

    Where the model provides it, every proposal also has `SALIENCY_EVIDENCE`.
    """

    @property
    def readouts(self) -> tuple[ReadoutPart, ...]:
        """Return the read-outs whose proposals it joins; by default only this one."""
        return (self,)

    def evidence_with(self, provided: Collection[str]) -> list[str]:
        """Return the names of the evidence of each moment if a model provides these tensors."""
        known = {**self.evidence, **SALIENCY_EVIDENCE}
        return sorted(name for name, tensor in known.items() if not tensor or tensor in provided)

    def evidence_fault(self, step: RankingPart, provided: Collection[str], model: str) -> str:
        """Return what a ranking step lacks after this read-out; empty for nothing.

        Args:
            step: The ranking step.
            provided: Names of the tensors that the model provides.
            model: The model in words, e.g. "this model".
        """
        given = self.evidence_with(provided)
        missing = sorted(step.requires.difference(given))
        if not missing:
            return ""
        return (
            f"ranking {step.use!r} requires {', '.join(missing)} of each moment, which the readout "
            f"{self.use!r} does not give with {model}.{did_you_mean(missing[0], given)} "
            f"It gives: {', '.join(given) or 'nothing'}."
        )

    def fit(self, widths: tuple[float, ...]) -> Mapping[str, Plain]:  # noqa: ARG002
        """Return what it takes from the training windows, for `build`; by default nothing.

        Args:
            widths: Of all training windows, as fractions of their recordings; may be empty.
        """
        return {}

    @abstractmethod
    def build(self, fitted: Mapping[str, Plain]) -> Readout:
        """Return the read-out for what `fit` returned."""
