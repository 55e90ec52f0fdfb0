"""Benchmark suite for Audio Moment Retrieval.

The names in `__all__` are the public Python interface; the command line calls the same code. They are
imported on first use, so that `import amrbench` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amrbench.api import load_protocol, load_recipe, predict, predict_checkpoint, run, score
    from amrbench.discovery import load_registry
    from amrbench.experiment.run import Settings
    from amrbench.hookspecs import hookimpl

    __version__: str

__all__ = [
    "Settings",
    "hookimpl",
    "load_protocol",
    "load_recipe",
    "load_registry",
    "predict",
    "predict_checkpoint",
    "run",
    "score",
]

_ELSEWHERE = {
    "Settings": "amrbench.experiment.run",
    "hookimpl": "amrbench.hookspecs",
    "load_registry": "amrbench.discovery",
}
"""The modules of the names that are not in `amrbench.api`."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("amrbench")
    if name not in __all__:
        raise AttributeError(f"module 'amrbench' has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "amrbench.api")), name)
