"""What is made of the fine-tuned weights of many seeds: report, section 3.5."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the soups, and the single models that they are compared with."""
    from amrbench_plugins.soups.fisher import Fisher
    from amrbench_plugins.soups.greedy import Greedy
    from amrbench_plugins.soups.none import NoSoup
    from amrbench_plugins.soups.several import Several
    from amrbench_plugins.soups.single import BestSingle, LastEpochs
    from amrbench_plugins.soups.uniform import Uniform

    return [NoSoup, Uniform, Greedy, Fisher, BestSingle, LastEpochs, Several]
