"""Import what the commands import, so that a forked process starts at once."""

import importlib
import pkgutil

import torch

import amrbench
import amrbench_plugins

_SCRIPTS = ("__main__", "train_mini_clap", "measure_mini_clap")


def preload() -> None:
    """Import all modules of the package and of the plugins, and what torch imports for its first step."""
    for package in (amrbench, amrbench_plugins):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith("amrbench.testing") and not module.name.endswith(_SCRIPTS):
                importlib.import_module(module.name)
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).step()
    for name in ("h5py", "tabulate", "scipy.optimize", "scipy.signal", "typer.rich_utils"):
        importlib.import_module(name)
