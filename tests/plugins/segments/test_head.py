"""The potentials of a frame come from it and its neighbours inside the recording."""

import pytest
import torch
from torch.testing import assert_close

from amrbench.slots.blocks import Memory
from tests.plugins.segments.twins import head, memory_of


@pytest.mark.parametrize("reach", [0, 1, 5])
def test_the_head_sees_the_neighbours_of_a_frame_and_no_padding(reach):
    module, memory = head(reach=reach), memory_of([9, 4])
    plain = module.of_memory(memory)["segments"]
    assert plain.shape == (2, 9, 4)
    alone = Memory(memory.token[1:], memory.frames[1:, :4], memory.positions[1:, :4], memory.mask[1:, :4])
    assert_close(module.of_memory(alone)["segments"][0], plain[1, :4])
    frames = memory.frames.clone()
    frames[0, 2] += 1
    changed = module.of_memory(memory.with_frames(frames))["segments"]
    differs = (changed - plain)[0].abs().sum(1) > 1e-6
    assert differs.nonzero()[:, 0].tolist() == [at for at in range(9) if abs(at - 2) <= reach]


def test_at_first_few_frames_are_in_segments():
    module = head()
    torch.nn.init.zeros_(module.linear.weight)
    potentials = module.of_memory(memory_of([60]))["segments"]
    assert potentials[0, 0].tolist() == [1.0, -2.0, 0.0, -2.0]
