"""Settings for all tests."""

import os
import sys

import pytest

from amrbench import cli

# One thread for each test process: several of them share the cores, and threads that wait for a core
# make small tensors many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def amrbench(monkeypatch, capsys):
    """Return a function that calls the command line and returns exit code, output and messages."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["amrbench", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return call
