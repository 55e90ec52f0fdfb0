"""A network without a decoder that compares frames with the sentence and with each other."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the model."""
    from amrbench_plugins.frame_network.parts import FrameNetwork

    return [FrameNetwork]
