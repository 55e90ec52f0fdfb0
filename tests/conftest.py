"""Settings for all tests."""

import os
import signal
import sys

import pytest
from hypothesis import settings

from amrbench import cli

# One thread for each test process: several of them share the cores, and threads that wait for a core
# make small tensors many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell lets what it starts in the background ignore Ctrl-C; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples everywhere: what passes on one machine passes on the next. To look for new ones:
# pytest --hypothesis-profile=search
settings.register_profile("same", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("search", max_examples=3000, deadline=None, print_blob=True)
settings.load_profile("same")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Leave the cache folder of the user alone."""
    os.environ.setdefault("AMRBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


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
