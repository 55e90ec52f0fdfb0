import pytest

from amrbench.data.feature_dataset import DatasetCache
from amrbench.training.log import Epoch, write_epoch
from amrbench.training.memory_room import MIB, AnyRoom, MemoryRoom, estimated_mib, parameters_of
from amrbench.training.stages import untrained
from tests.small_world.runs import plan


@pytest.fixture
def chains(toy_sources):
    return plan(toy_sources).chains


def epoch(number, memory):
    return Epoch(number, {}, {}, 1.0, memory)


def test_an_estimate_has_the_features_the_weights_and_the_libraries(chains):
    spec = chains[0]
    (source,) = spec.train
    lengths = {query.vid: query.duration / source.hop for query in source.queries}
    slow = sum(4 * source.widths.audio for rows in lengths.values() for _ in range(min(5, int(rows))))
    assert estimated_mib([source], 5, 0) == pytest.approx(500 + slow / MIB)
    assert estimated_mib([source, source], 5, MIB) == pytest.approx(500 + 2 * slow / MIB + 20)


def test_the_parameters_are_those_of_the_model_that_is_trained(chains):
    criterion = untrained(chains[0], DatasetCache())
    assert parameters_of(chains[0]) == sum(one.numel() for one in criterion.parameters()) > 0


def test_what_logs_say_is_used_before_an_estimate(chains, tmp_path):
    first, second = chains
    (tmp_path / first.key).mkdir()
    write_epoch(tmp_path / first.key, first.name, epoch(1, 300.0))
    write_epoch(tmp_path / first.key, first.name, epoch(2, 900.0))
    room = MemoryRoom([first.parent, first, second], tmp_path)
    assert room.expected_mib(second) == 900, "another seed of the same stage"
    estimate = room.expected_mib(first.parent)
    assert estimate > 500
    room.add(first.parent, [epoch(1, 700.0)])
    assert room.expected_mib(first.parent) == 700


def test_a_stage_waits_until_it_fits_beside_what_others_will_still_take(chains, tmp_path):
    free = 1000.0
    room = MemoryRoom([], tmp_path, free=lambda: free * MIB)
    first, second = chains
    for spec in chains:
        room.measured[spec.recipe.name, spec.index] = 600.0
    assert room.why_not(first, []) == ""
    assert room.why_not(second, [first]) == (
        "toy finetune, seed 1: waits for memory: it may need 600 MiB, and 400 MiB are free beside the stages "
        "that are trained; with --jobs N, N are trained at the same time in any case"
    )
    room.add(first, [epoch(1, 600.0)])  # It has what it needs, which is not free any more.
    assert room.why_not(second, [first]) == ""
    free = 500.0
    assert "it may need 600 MiB, and 500 MiB are free" in room.why_not(second, [first])
    assert room.why_not(second, []) == "", "one stage always runs"


def test_any_room_lets_every_stage_begin(chains):
    room = AnyRoom()
    room.add(chains[0], [epoch(1, 1e9)])
    assert room.why_not(chains[1], [chains[0]]) == ""
