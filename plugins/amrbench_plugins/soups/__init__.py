"""What is made of the fine-tuned weights of many seeds."""

from __future__ import annotations

from amrbench import hookimpl
from amrbench.part import Part
from amrbench_plugins.soups.none import NoSoup


@hookimpl
def amrbench_parts() -> list[type[Part]]:
    """Offer the parts of this plugin."""
    return [NoSoup]
