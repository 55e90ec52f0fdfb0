"""Audio-text encoders."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the encoders."""
    from amrbench_plugins.backends import parts

    return parts.PARTS
