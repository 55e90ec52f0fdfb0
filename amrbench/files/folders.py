"""Where amrbench looks for what people place, and keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "AMRBENCH_CACHE"
DATA_VARIABLE = "AMRBENCH_DATA"
MODELS_VARIABLE = "AMRBENCH_MODELS"


def cache_folder() -> Path:
    """Return the cache folder: $AMRBENCH_CACHE, or the user's cache folder of this system."""
    return _chosen(CACHE_VARIABLE) or Path(platformdirs.user_cache_path("amrbench"))


def data_folder() -> Path:
    """Return the folder of data sets: $AMRBENCH_DATA, or the user's data folder of this system."""
    return _chosen(DATA_VARIABLE) or Path(platformdirs.user_data_path("amrbench"))


def models_folder() -> Path:
    """Return the folder of weights of encoders: $AMRBENCH_MODELS, or `models` in the data folder."""
    return _chosen(MODELS_VARIABLE) or data_folder() / "models"


def _chosen(variable: str) -> Path | None:
    value = os.environ.get(variable, "").strip()
    return Path(value).expanduser().absolute() if value else None
