import warnings
from contextlib import contextmanager

import pytest
import torch

from amrbench.notes import collected_notes
from amrbench.training import numerics
from amrbench.training.numerics import (
    accelerator,
    fixed_numerics,
    hardware,
    library_versions,
    processor,
    settings_of,
)


def write_some_in_any_order():
    """An operation that has no deterministic algorithm, on no device."""
    torch.zeros(3).put_(torch.tensor([1, 1]), torch.tensor([1.0, 2.0]), accumulate=False)


def settings():
    return (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_the_settings_of_torch_are_restored(device):
    before, state, tiny = settings(), torch.get_rng_state(), torch.tensor(1e-40)
    with fixed_numerics(before[0] + 1, device):
        assert settings() == (before[0] + 1, True, device != "cpu", False)
        assert (tiny * 0.5).item() == 0, "denormal numbers are flushed"
        torch.rand(3)
    assert settings() == before
    assert torch.equal(torch.get_rng_state(), state)
    assert (tiny * 0.5).item() > 0


def test_a_gpu_is_the_current_one_and_its_random_state_is_restored(monkeypatch):
    current, forked = [0], []

    @contextmanager
    def use(name):
        current.append(torch.device(name).index)
        yield
        current.pop()

    @contextmanager
    def fork(devices):
        forked.append(devices)
        yield

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", use)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current[-1])
    monkeypatch.setattr(torch.random, "fork_rng", fork)
    with fixed_numerics(1, "cuda:1"):
        assert current == [0, 1]
    with fixed_numerics(1, "cpu"):
        assert current == [0]
    assert forked == [[1], []]


def test_within_another_the_settings_of_that_are_restored():
    with fixed_numerics(1):
        inside = settings()
        with fixed_numerics(1, "cuda"):
            assert settings() != inside
        assert settings() == inside


def test_an_operation_that_could_give_other_bits_is_refused_on_a_cpu():
    with fixed_numerics(1), pytest.raises(RuntimeError, match="put_ does not have a deterministic implement"):
        write_some_in_any_order()
    write_some_in_any_order()


def test_such_operations_are_named_in_one_note_on_a_gpu():
    with collected_notes() as notes, fixed_numerics(1, "cuda"):
        for _ in range(3):
            write_some_in_any_order()
        warnings.warn(
            "Memory Efficient attention defaults to a non-deterministic algorithm. To explicitly",
            stacklevel=1,
        )
        warnings.warn(
            "Deterministic behavior was enabled with either x or y, but this operation is not deterministic "
            "because it uses CuBLAS and you have CUDA >= 10.2.",
            stacklevel=1,
        )
    assert notes == [
        "cuda: these operations have no deterministic algorithm there, so the last bits may differ when the "
        "same is computed again: CuBLAS, Memory Efficient attention, put_."
    ]


def test_other_warnings_are_shown_there_as_usual():
    with pytest.warns(UserWarning, match="something else") as shown, fixed_numerics(1, "cuda"):
        warnings.warn("something else", stacklevel=1)
    assert len(shown) == 1


def test_a_processor_has_instructions_and_a_model():
    assert torch.backends.cpu.get_cpu_capability() in processor()
    assert accelerator("cpu") == ""
    assert hardware("cpu") == processor()


def test_a_gpu_has_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the GPU {device}")
    assert hardware("cuda:1") == accelerator("cuda:1") == "the GPU cuda:1"


def test_settings_are_named(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert settings_of("cpu") == {
        "deterministic algorithms": "all",
        "denormal numbers": "zero",
        "products of float32": "highest",
        "onednn": "on",
    }
    assert settings_of("cuda") == {
        "deterministic algorithms": "where there are some",
        "denormal numbers": "zero",
        "products of float32": "highest",
        "TF32 in convolutions": "on",
        "trials of cuDNN": "off",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def test_versions_are_those_of_what_computes(monkeypatch):
    build = (
        "  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product\n  - Intel(R) MKL-DNN v3.12.0 (Git"
    )
    monkeypatch.setattr(numerics.torch.__config__, "show", lambda: build)
    versions = library_versions("cpu")
    assert versions["torch"] == numerics.version("torch")
    assert (versions["mkl"], versions["onednn"]) == ("2024.2", "3.12.0")
    assert versions.keys() == {"torch", "numpy", "scipy", "mkl", "onednn", "python"}
    assert library_versions("cuda").keys() - versions.keys() == {"cuda", "cudnn"}
