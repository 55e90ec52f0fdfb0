"""What parts declare about the tensors that they provide: a name and axes for each."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from amrbench.interfaces import ResultError
from amrbench.part import Part

_AXES = re.compile(r"\w+(\+\w+)*( \w+(\+\w+)*)*")


class ProvidingPart(Part):
    """A part whose object provides tensors that other parts read by name."""

    @property
    @abstractmethod
    def provides(self) -> Mapping[str, str]:
        """Return the axes of each tensor it provides, by its name.

        Axes are letters of the shape alphabet (`amrbench.types`) or numbers, e.g. {"spans": "N B Q 2"}. A
        sum such as "S+L" is one axis; its letters may be others that the part documents.
        """

    @model_validator(mode="after")
    def _declares_names_and_axes(self) -> Self:
        provides: object = self.provides
        wrong = [] if isinstance(provides, Mapping) else [provides]
        if isinstance(provides, Mapping):
            wrong = [item for item in provides.items() if not _is_declared(*item)]
        if wrong:
            raise ResultError(
                f"provides returns {provides!r:.80}, not a mapping from names to axes such as "
                '{"spans": "N B Q 2"}.',
                type(self),
                "provides",
            )
        return self


def _is_declared(name: object, axes: object) -> bool:
    return isinstance(name, str) and isinstance(axes, str) and _AXES.fullmatch(axes) is not None
