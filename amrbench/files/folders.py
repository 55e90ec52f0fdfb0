"""The folders of data sets, of weights of encoders, and of files that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from amrbench.errors import DataError

CACHE_VARIABLE = "AMRBENCH_CACHE"
DATA_VARIABLE = "AMRBENCH_DATA"
MODELS_VARIABLE = "AMRBENCH_MODELS"
RUNS = Path("runs")
"""Where commands write runs, and look for them, unless they are told otherwise."""
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


def path_of(value: str, variable: str = "") -> Path:
    """Return the path that somebody wrote; ~ and ~name at its beginning are folders of users.

    Args:
        value: The path.
        variable: The variable of the environment that holds it, for the message.

    Raises:
        DataError: There is no such user.
    """
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        where = f"{variable}={value!r}" if variable else repr(value)
        if name := Path(value).parts[0][1:]:
            raise DataError(
                f"{where}: there is no user {name!r}, so this path is not known. Write ~/{value[1:]} for one "
                "in your own folder."
            ) from error
        raise DataError(
            f"{where}: your own folder is not known. Set HOME, or write the path without ~."
        ) from error


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable, "").strip()
    return path_of(value, variable).absolute() if value else None
