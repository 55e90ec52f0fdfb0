import re

import pytest
import torch

from amrbench.errors import RunError
from amrbench.training.device import refuse_device


@pytest.fixture
def gpus(monkeypatch):
    """Return a function that lets torch find a number of GPUs."""

    def find(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return find


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("gpu", 1, "torch knows no device 'gpu'. Use cpu, cuda or cuda:N."),
        ("meta", 1, "the device 'meta' is not supported. Use cpu, cuda or cuda:N."),
        ("cuda", 0, "device 'cuda': torch finds no CUDA device. Use --device cpu."),
        ("cuda:1", 1, "device 'cuda:1': torch finds 1, from cuda:0 on. Use one of them."),
        ("cuda:7", 4, "device 'cuda:7': torch finds 4, from cuda:0 on. Use one of them."),
    ],
)
def test_a_device_that_is_not_there_is_refused(gpus, name, count, message):
    gpus(count)
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        refuse_device(name)


@pytest.mark.parametrize(("name", "count"), [("cpu", 0), ("cuda", 1), ("cuda:0", 1), ("cuda:3", 4)])
def test_a_device_that_is_there_is_not(gpus, name, count):
    gpus(count)
    refuse_device(name)
