"""The trained sliding-window baseline; `recipes/sliding-window.yaml` puts its parts together."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the model, its loss and the matcher that matches nothing."""
    from amrbench_plugins.dual_encoder import parts

    return [parts.DualEncoder, parts.FrameBce, parts.NoMatcher]
