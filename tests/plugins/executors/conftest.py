"""The toy recipe, run with executors whose processes find its parts as those of a plugin."""

import pytest

from amrbench.discovery import load_registry
from amrbench.experiment.run import run
from tests.plugin_site import forget_plugins
from tests.small_world.executors import install_toy_parts
from tests.small_world.parts import PROTOCOL, RECIPE
from tests.small_world.runs import Recorder, same_bits, settings_in, write_yaml


@pytest.fixture
def run_toy(tmp_path, monkeypatch):
    """Return a function that runs the toy recipe in a folder of a name, and returns the run and reports.

    Each seed has a pretraining of its own, so that two chains can be trained at the same time.
    """
    (site := tmp_path / "site").mkdir()
    install_toy_parts(site, monkeypatch)
    without = ("soups",)  # It offers parts of the same names.
    registry = load_registry(without=without)

    def run_in(name, executor=None, recipe=RECIPE, reporter=None, **options):
        folder, recorder = tmp_path / name, reporter or Recorder()
        if isinstance(executor, dict):
            executor = registry.find("executor", executor.pop("use"))(**executor)
        done = run(
            write_yaml(folder / "toy.yaml", recipe),
            write_yaml(folder / "tiny.yaml", PROTOCOL | {"chains": "own"}),
            registry=registry,
            settings=settings_in(folder, without=without, executor=executor, **options),
            reporter=recorder,
        )
        return done, recorder

    yield run_in
    forget_plugins()


@pytest.fixture
def same_with(run_toy, tmp_path):
    """Return a function that checks that an executor changes neither keys nor bits nor metrics."""

    def check(executor, **options):
        plain, _ = run_toy("plain")
        done, recorder = run_toy("executor", executor, **options)
        assert same_bits(tmp_path / "plain", tmp_path / "executor")
        assert done.result.rows == plain.result.rows
        assert len(recorder.epochs) == 2 * (3 + 4)
        assert list((tmp_path / "executor" / "cache" / "tasks").glob("*.*")) == []

    return check
