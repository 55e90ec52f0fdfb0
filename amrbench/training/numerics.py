"""What decides the bits of numbers besides what they are computed from: fixed, and named."""

from __future__ import annotations

import os
import platform
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch

from amrbench.notes import note

_PACKAGES = ("torch", "numpy", "scipy")
_LIBRARIES = {"mkl": r"Math Kernel Library Version ([\d.]+)", "onednn": r"MKL-DNN v([\d.]+)"}
"""In the description of a build of torch."""
_NO_VERSION = re.compile(
    r"(?P<operation>\w+) does not have a deterministic implementation"
    r"|(?P<attention>Memory Efficient attention) defaults to a non-deterministic algorithm"
    r"|Deterministic behavior was enabled .* but this operation is not deterministic .*(?P<products>CuBLAS)"
)
"""Warnings of torch."""


@contextmanager
def fixed_numerics(threads: int, device: str = "cpu") -> Iterator[None]:
    """Compute the same bits every time, and restore torch's settings and random state afterwards.

    The number of threads decides how sums are split, and so their last bits. Denormal numbers are flushed to
    zero, because they make a step up to twice as slow. Operations use deterministic algorithms; on a GPU some
    have none, and a note names those that were used.

    Raises:
        RuntimeError: Inside, on a CPU: an operation has no deterministic algorithm.
    """
    on_cpu = torch.device(device).type == "cpu"
    before, memory = torch.get_num_threads(), cast("Any", torch.utils.deterministic)
    fill = memory.fill_uninitialized_memory
    mode, warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=not on_cpu)
    # Nothing reads memory before it is written, and filling it costs a few percent of a step.
    memory.fill_uninitialized_memory = False
    try:
        named = nullcontext() if on_cpu else _named_operations(device)
        with _current(device) as gpus, named, torch.random.fork_rng(gpus):
            yield
    finally:
        memory.fill_uninitialized_memory = fill
        torch.use_deterministic_algorithms(mode, warn_only=warn)
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


@contextmanager
def _current(device: str) -> Iterator[list[int]]:
    """Let a GPU be the current one, whose memory torch counts; yield its number, or nothing for a CPU."""
    if torch.device(device).type == "cpu" or not torch.cuda.is_available():
        yield []
        return
    with torch.cuda.device(device):
        yield [torch.cuda.current_device()]


@contextmanager
def _named_operations(device: str) -> Iterator[None]:
    """Issue one note about all operations without a deterministic algorithm, in place of torch's warnings."""
    used: set[str] = set()
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=f".*({_NO_VERSION.pattern})")
        show = warnings.showwarning

        def collect(message, category, filename, lineno, file=None, line=None):  # type: ignore[no-untyped-def]
            if named := _NO_VERSION.search(str(message)):
                used.add(next(filter(None, named.groups())))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = collect
        yield
    if used:
        note(
            f"{torch.device(device).type}: these operations have no deterministic algorithm there, so the "
            f"last bits may differ when the same is computed again: {', '.join(sorted(used))}."
        )


@cache
def processor() -> str:
    """Return the instructions that torch uses and the model, e.g. "x86_64 AVX512, Intel(R) Xeon(R) Gold"."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    instructions = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return f"{instructions}, {model[1].strip()}" if model else instructions


def accelerator(device: str) -> str:
    """Return the model of a GPU, e.g. "NVIDIA H100 80GB HBM3"; empty for a CPU."""
    return "" if torch.device(device).type == "cpu" else torch.cuda.get_device_name(device)


def hardware(device: str) -> str:
    """Return the model of the GPU or processor that a device is."""
    return accelerator(device) or processor()


def settings_of(device: str) -> dict[str, str]:
    """Return the settings of torch within `fixed_numerics`, by name."""
    common = {
        "deterministic algorithms": "all" if torch.device(device).type == "cpu" else "where there are some",
        "denormal numbers": "zero",
        "products of float32": torch.get_float32_matmul_precision(),
    }
    if torch.device(device).type == "cpu":
        return {**common, "onednn": _on(bool(torch.backends.mkldnn.enabled))}
    return {
        **common,
        "TF32 in convolutions": _on(torch.backends.cudnn.allow_tf32),
        "trials of cuDNN": _on(torch.backends.cudnn.benchmark),
        "CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
    }


def library_versions(device: str) -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute, by name."""
    build = torch.__config__.show()
    matches = {name: re.search(pattern, build) for name, pattern in _LIBRARIES.items()}
    libraries = {name: match[1] for name, match in matches.items() if match}
    if torch.device(device).type != "cpu":
        libraries |= {
            "cuda": str(torch.version.cuda),
            "cudnn": str(cast("Any", torch.backends.cudnn).version()),
        }
    packages = {name: version(name) for name in _PACKAGES}
    return {**packages, **libraries, "python": platform.python_version()}


def _on(setting: bool) -> str:
    return "on" if setting else "off"
