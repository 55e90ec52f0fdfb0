"""What several tests of encoders need."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def one_thread():
    """The command sets threads and flushing for its whole process; put them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)
