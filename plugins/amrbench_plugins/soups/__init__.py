"""What is made of the fine-tuned weights of many seeds: report, section 3.5."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the soups, and the single models that they are compared with."""
    from amrbench_plugins.soups import parts

    return [
        parts.NoSoup,
        parts.BestSingle,
        parts.LastEpochs,
        parts.Uniform,
        parts.Greedy,
        parts.Fisher,
        parts.Several,
    ]
