"""Audio-text encoders."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the encoders."""
    from amrbench_plugins.backends import parts

    return (
        *(parts.AisfxMiniLm, parts.Clap, parts.Concat, parts.LaionClap, parts.M2dClap),
        *(parts.MiniClap, parts.MiniClapWide),
    )
