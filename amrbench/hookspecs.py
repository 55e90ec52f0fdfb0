"""The hooks of a plugin. A plugin implements one with `@amrbench.hookimpl`."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from amrbench.part import Part

hookspec = pluggy.HookspecMarker("amrbench")
hookimpl = pluggy.HookimplMarker("amrbench")


@hookspec
def amrbench_parts() -> Sequence[type[Part]]:  # type: ignore[empty-body]
    """Return the parts of the plugin. Called before any recipe is read; must not use files or devices."""
