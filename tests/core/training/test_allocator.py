import ctypes
import os
import resource
import subprocess
import sys

import pytest
import torch

from amrbench.training import allocator
from amrbench.training.allocator import THRESHOLDS, freed_memory_kept, glibc, set_thresholds
from tests.folders import ROOT

ALL = tuple(threshold.variable for threshold in THRESHOLDS)


class Library:
    """Records calls in place of the C library."""

    def __init__(self) -> None:
        self.calls = []

    def mallopt(self, number, value):
        self.calls.append(("mallopt", number, value))
        return 1

    def malloc_trim(self, pad):
        self.calls.append(("malloc_trim", pad))
        return 1


@pytest.fixture
def library(monkeypatch):
    for name in (*ALL, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    library = Library()
    monkeypatch.setattr(allocator, "glibc", lambda: library)
    set_thresholds.cache_clear()
    yield library
    set_thresholds.cache_clear()


def test_thresholds_are_set_once_and_memory_is_given_back_each_time(library):
    for _ in range(2):
        with freed_memory_kept():
            library.calls.append("inside")
    trim = ("malloc_trim", 0)
    set_calls = [("mallopt", -3, 32 * 2**20), ("mallopt", -1, -1), ("mallopt", -2, 64 * 2**20)]
    assert library.calls == [*set_calls, "inside", trim, "inside", trim]
    assert set_thresholds() == ALL


def test_memory_is_given_back_after_an_error(library):
    with pytest.raises(ValueError, match="x"), freed_memory_kept():
        raise ValueError("x")
    assert library.calls[-1] == ("malloc_trim", 0)


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=lambda threshold: threshold.variable)
def test_what_the_user_has_set_stays(library, monkeypatch, threshold):
    monkeypatch.setenv(threshold.variable, "1000")
    assert set_thresholds() == tuple(name for name in ALL if name != threshold.variable)
    assert threshold.number not in [number for _, number, _ in library.calls]


def test_tunables_of_the_user_stay(library, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1:glibc.malloc.trim_threshold=1")
    assert set_thresholds() == ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


def test_without_glibc_nothing_happens(library, monkeypatch):
    monkeypatch.setattr(allocator, "glibc", lambda: None)
    with freed_memory_kept():
        pass
    assert set_thresholds() == ()
    assert library.calls == []


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_a_library_that_cannot_be_opened_is_none(monkeypatch, error):
    def refuse(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert glibc.__wrapped__() is None


def test_another_c_library_is_none(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert glibc.__wrapped__() is None


def fill_blocks() -> None:
    """Fill five blocks of 24 MiB, which are freed at the end."""
    blocks = [torch.ones(6 * 2**20) for _ in range(5)]
    assert len(blocks) == 5


def fewest_faults() -> None:
    """Print the fewest page faults of filling blocks in several rounds.

    In a single one, an aligned block may not fit into the gap that one of its size has left.
    """
    faults = []
    with freed_memory_kept():
        for _ in range(8):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            fill_blocks()
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    print(min(faults))


@pytest.mark.skipif(glibc() is None, reason="needs glibc")
@pytest.mark.parametrize(("own", "least", "most"), [({}, 0, 20), ({ALL[0]: "1000000"}, 50, 100_000)])
def test_freed_blocks_are_used_again_without_new_pages(own, least, most):
    code = "from tests.core.training.test_allocator import *; fewest_faults()"
    inherited = {name: value for name, value in os.environ.items() if name not in ALL}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=inherited | own,
        cwd=ROOT,
        check=True,
    )
    assert least <= int(done.stdout) <= most
