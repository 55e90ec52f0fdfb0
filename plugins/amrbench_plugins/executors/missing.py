"""The error for a package of an executor that is not installed."""

from __future__ import annotations

import importlib
from types import ModuleType

from amrbench.errors import RunError


def imported(package: str, extra: str) -> ModuleType:
    """Return a package; RunError says with which extra it is installed."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise RunError(
            f"this executor needs the package {package}. Install it with 'pip install amrbench[{extra}]', on "
            "all machines."
        ) from error
