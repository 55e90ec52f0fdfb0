"""The trained sliding-window baseline. See recipes/sliding-window.yaml for all of it together."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part
from amrbench_plugins.dual_encoder.model import DualEncoder
from amrbench_plugins.dual_encoder.training import FrameBce, NoMatcher


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the parts of this plugin."""
    return [DualEncoder, FrameBce, NoMatcher]
