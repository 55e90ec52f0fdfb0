"""Models that say something of each frame and have no decoder; read-outs make moments of it."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the models, their loss and the matcher that matches nothing."""
    from amrbench_plugins.frame_models import parts

    return [parts.DualEncoder, parts.FrameNetwork, parts.FrameBce, parts.NoMatcher]
