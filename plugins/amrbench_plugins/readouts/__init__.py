"""Read-outs: how moments are made of what a model says."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Offer the read-outs."""
    from amrbench_plugins.readouts import parts

    return [parts.Decoder, parts.WindowSearch, parts.Runs, parts.ChangePoints, parts.Pooled]
