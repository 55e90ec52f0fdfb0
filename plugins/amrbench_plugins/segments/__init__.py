"""A distribution over the segments of a recording that a sentence describes: head, losses and read-out."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the parts of this plugin."""
    from amrbench_plugins.segments import parts

    return [parts.Segments, parts.SegmentNll, parts.SegmentIou, parts.SegmentPosterior]
