"""Where amrbench keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "AMRBENCH_CACHE"


def cache_folder() -> Path:
    """Return the cache folder: $AMRBENCH_CACHE, or the user's cache folder of this system."""
    chosen = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_cache_path("amrbench"))
