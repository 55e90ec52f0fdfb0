import pickle

import numpy as np
import pytest
import torch

from amrbench.data.out_of_memory import MemoryShortError, explained_memory, memory_request
from amrbench.errors import DataError, RunError


def raised(call) -> BaseException:
    with pytest.raises((MemoryError, RuntimeError)) as error:
        call()
    return error.value


@pytest.mark.parametrize(
    ("error", "request_"),
    [
        (raised(lambda: torch.empty(2**40)), "4.00 TiB could not be had"),
        (raised(lambda: torch.empty(2**58)), "1024.00 PiB could not be had"),
        (raised(lambda: np.empty(2**46)), "512 TiB could not be had"),
        (raised(lambda: bytearray(2**50)), "no more could be had"),
        (RuntimeError("you tried to allocate 12 bytes: can't allocate memory"), "12 bytes could not be had"),
        (
            torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB of "
                "which 1.20 GiB is free. Including non-PyTorch memory, this process has 77.9 GiB in use."
            ),
            "2.50 GiB could not be had (GPU 0 has a total capacity of 79.10 GiB of which 1.20 GiB is free)",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "no more could be had",
        ),
        (RuntimeError("shapes do not match"), None),
        (ValueError("out of memory"), None),
        (OSError(12, "Cannot allocate memory"), None),
    ],
)
def test_the_request_is_read_from_the_error(error, request_):
    assert memory_request(error) == request_


def test_short_memory_becomes_one_message():
    with pytest.raises(RunError) as error, explained_memory("toy, validation", "Lower it."):
        torch.empty(2**40)
    assert str(error.value) == "toy, validation: out of memory: 4.00 TiB could not be had. Lower it."


def test_the_error_of_a_worker_reaches_the_process_that_waits_for_it():
    error = pickle.loads(pickle.dumps(MemoryShortError("toy: out of memory", "2.00 GiB could not be had")))
    assert (str(error), error.request) == ("toy: out of memory", "2.00 GiB could not be had")


@pytest.mark.parametrize("error", [RuntimeError("a bug"), DataError("broken"), KeyError("x")])
def test_other_errors_are_not_changed(error):
    with pytest.raises(type(error)) as seen, explained_memory("toy", "Lower it."):
        raise error
    assert seen.value is error
