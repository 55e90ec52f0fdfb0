"""What is made of the fine-tuned weights of many seeds: report, section 3.5."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the parts of this plugin."""
    from amrbench_plugins.soups import parts

    return parts.PARTS
