"""Everything a plugin may do. A plugin implements the hook with `@amrbench.hookimpl`."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from amrbench.part import Part

hookspec = pluggy.HookspecMarker("amrbench")
hookimpl = pluggy.HookimplMarker("amrbench")


@hookspec
def amrbench_parts() -> Sequence[type[Part]]:  # type: ignore[empty-body]
    """Offer parts. Called once, before any recipe is read; must not touch files or devices."""
