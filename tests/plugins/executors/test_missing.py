import json
import sys

import pytest

from amrbench.cli.options import executor_of
from amrbench.discovery import load_registry
from amrbench.errors import RunError
from amrbench_plugins.executors.missing import imported
from amrbench_plugins.executors.ray_cluster import PRIVATE


def test_a_package_that_is_there_is_returned():
    assert imported("json", "ray") is json


def test_a_missing_package_names_its_extra():
    with pytest.raises(
        RunError,
        match=r"this executor needs the package no_such. Install it with 'pip install amrbench\[slurm\]', on "
        "all machines",
    ):
        imported("no_such", "slurm")


@pytest.mark.parametrize(("package", "extra"), [("ray", "ray"), ("submitit", "slurm")])
def test_a_missing_package_is_named_before_anything_is_prepared(monkeypatch, package, extra):
    for name, value in {**PRIVATE, "RAY_USAGE_STATS_ENABLED": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RunError) as refused:
        executor_of(package, load_registry())
    assert str(refused.value) == (
        f"this executor needs the package {package}. Install it with 'pip install amrbench[{extra}]', on all "
        "machines."
    )
