"""The folders of data sets, of weights of encoders, and of files that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "AMRBENCH_CACHE"
DATA_VARIABLE = "AMRBENCH_DATA"
MODELS_VARIABLE = "AMRBENCH_MODELS"
OTHER_CACHE = f"name another cache folder in {CACHE_VARIABLE}"
"""What to do where the cache folder cannot be used."""


def cache_folder() -> Path:
    """Return the cache folder: $AMRBENCH_CACHE, or the user's cache folder on this system."""
    return _from_environment(CACHE_VARIABLE) or platformdirs.user_cache_path("amrbench")


def data_folder() -> Path:
    """Return the folder of data sets: $AMRBENCH_DATA, or the user's data folder on this system."""
    return _from_environment(DATA_VARIABLE) or platformdirs.user_data_path("amrbench")


def models_folder() -> Path:
    """Return the folder of weights of encoders: $AMRBENCH_MODELS, or `models` in the data folder."""
    return _from_environment(MODELS_VARIABLE) or data_folder() / "models"


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable, "").strip()
    return Path(value).expanduser().absolute() if value else None
