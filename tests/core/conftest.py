"""Data and folders that several tests of the core share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from amrbench.data.feature_source import FeatureSource
from amrbench.experiment.run import Run
from tests.small_world.parts import PROTOCOL, RECIPE
from tests.small_world.runs import prepare_splits, run_in, write_yaml


@pytest.fixture(scope="session")
def toy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder with the data of the toy world."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def toy_sources(toy_cache: Path) -> dict[str, FeatureSource]:
    """Return all splits of the toy world, by `FeatureRequest.key`."""
    return prepare_splits(toy_cache)


@pytest.fixture(scope="session")
def new_toy_folder(
    tmp_path_factory: pytest.TempPathFactory, toy_cache: Path, toy_sources: dict[str, FeatureSource]
) -> Callable[[], Path]:
    """Return a function that makes folders with a recipe, a protocol, shared data and no stages."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("toy")
        (folder / "cache").mkdir()
        (folder / "cache" / "data").symlink_to(toy_cache / "data")
        write_yaml(folder / "toy.yaml", RECIPE)
        write_yaml(folder / "tiny.yaml", PROTOCOL)
        return folder

    return make


@pytest.fixture
def toy_folder(new_toy_folder: Callable[[], Path]) -> Path:
    """Return a folder with a recipe, a protocol, shared data and no stages."""
    return new_toy_folder()


@pytest.fixture(scope="session")
def finished(new_toy_folder: Callable[[], Path]) -> Run:
    """Return a finished run, only to be read; recipe, protocol and cache are two folders above it."""
    return run_in(new_toy_folder())


@pytest.fixture(scope="session")
def soup_run(new_toy_folder: Callable[[], Path]) -> Run:
    """Return a finished run with two seeds and a soup, only to be read; see `finished`."""
    folder = new_toy_folder()
    write_yaml(folder / "toy.yaml", RECIPE | {"soup": "mean"})
    return run_in(folder)
