"""Components from other papers than the report, one file each."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the parts of this plugin."""
    from amrbench_plugins.beyond import parts

    return [parts.BackgroundMixing, parts.BoundaryContrast, parts.QueryDropout]
