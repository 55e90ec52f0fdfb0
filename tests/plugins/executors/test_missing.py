import json

import pytest

from amrbench.errors import RunError
from amrbench_plugins.executors.missing import imported


def test_a_package_that_is_there_is_returned():
    assert imported("json", "ray") is json


def test_a_missing_package_names_its_extra():
    with pytest.raises(
        RunError,
        match=r"this executor needs the package no_such. Install it with 'pip install amrbench\[slurm\]', on "
        "all machines",
    ):
        imported("no_such", "slurm")
