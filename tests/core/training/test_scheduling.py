"""The real scheduler on machines in simulated time: claims, failures, stragglers, machines that are lost."""

import heapq
import random
from itertools import count, pairwise

import pytest

from amrbench.files.claim import RENEW_SECONDS, SEEN_SECONDS, VOID_SECONDS
from amrbench.slots.executors import LOST
from amrbench.training.stage_queue import expected_work, longest_first
from amrbench.training.stage_spec import distinct_stages
from tests.small_world.parts import PROTOCOL, RECIPE
from tests.small_world.runs import changed, plan
from tests.small_world.simulated_machines import SAVE_SECONDS, WAIT_SECONDS, Fault, Machine, World

SEEDS = 6
TICK = 1.0
"""Seconds between two looks of a command, so a stage may begin that much too late."""
TAKE_OVER = 60 + 2 * 25 + 4 * WAIT_SECONDS
"""Longest time until a stage whose machine was lost is trained again: its claim is void, and was watched."""


@pytest.fixture(scope="module")
def chains(toy_sources):
    """Two recipes with a stage of their own before six fine-tunes, and one that shares the first stage."""
    longer = changed(RECIPE, name="longer", training__clip=1.0)
    wider = changed(RECIPE, name="wider")
    wider["stages"][1]["epochs"] = 5
    recipes = (RECIPE, longer, wider)
    protocol = PROTOCOL | {"seeds": SEEDS}
    planned = [plan(toy_sources, recipe, protocol) for recipe in recipes]
    return [spec for plans in planned for spec in plans.chains]


def world_of(chains, folder, *, seed=0, tick=TICK):
    """Return a world in which stages take 100 to 1000 s."""
    rng = random.Random(seed)
    work = {spec.name: rng.uniform(100, 1000) for spec in distinct_stages(chains)}
    return World(folder / f"world-{seed}", chains, work, tick)


def trained(world):
    """Check that each stage was trained once, after the one before it, and by one process at a time."""
    ends = {own.stage: own.ended for own in world.history if own.code == 0}
    assert sorted(own.stage for own in world.history if own.code == 0) == sorted(world.work)
    for spec in world.specs.values():
        times = sorted((own.began, own.ended) for own in world.history if own.stage == spec.name)
        assert all(before[1] <= after[0] for before, after in pairwise(times)), f"{spec.name}: two at a time"
        assert not spec.parent or ends[parent_name(world, spec)] <= times[0][0]
    assert {path.name for path in world.store.iterdir()} == {spec.key for spec in world.specs.values()}
    assert world.differences == []


def parent_name(world, spec):
    return next(own.name for own in world.specs.values() if own.key == spec.parent.key)


def longest_chain(world):
    names = {own.key: own.name for own in world.specs.values()}
    return max(sum(world.work[names[own.key]] for own in spec.chain) for spec in world.chains)


def list_schedule(world, slots):
    """Return when list scheduling ends, in the order of the scheduler; written with a heap of free slots."""
    waiting = longest_first(list(world.specs.values()), expected_work)
    now, order, ended, running = 0.0, count(), set(), []
    while waiting or running:
        ready = [spec for spec in waiting if not spec.parent or spec.parent.key in ended]
        for spec in ready[: slots - len(running)]:
            waiting.remove(spec)
            heapq.heappush(running, (now + world.work[spec.name], next(order), spec))
        now, _, spec = heapq.heappop(running)
        ended.add(spec.key)
    return now


@pytest.mark.parametrize("slots", [1, 2, 5, 30])
def test_the_time_is_that_of_list_scheduling_and_within_its_bounds(chains, tmp_path, slots):
    for seed in range(2):
        world = world_of(chains, tmp_path, seed=seed)
        world.command(Machine("a", slots))
        took = world.run()
        trained(world)
        total, longest = sum(world.work.values()), longest_chain(world)
        late = 2 * TICK * len(world.work)
        assert took == pytest.approx(list_schedule(world, slots), abs=late)
        assert max(total / slots, longest) - 1 < took < total / slots + longest * (1 - 1 / slots) + late


def test_commands_on_several_machines_share_the_stages_also_one_that_comes_later(chains, tmp_path):
    alone, shared, later = (world_of(chains, tmp_path / name) for name in ("alone", "shared", "later"))
    alone.command(Machine("a", 4))
    for name in "abcd":
        shared.command(Machine(name))
        later.command(Machine(name), begins=0.0 if name < "c" else 2000.0)
    times = [world.run() for world in (alone, shared, later)]
    for world in (alone, shared, later):
        trained(world)
        assert not any(command.error for command in world.commands)
    assert times[1] == pytest.approx(times[0], rel=0.1)
    assert times[0] < times[2] < sum(alone.work.values()) / 2
    assert {own.owner.host for own in shared.history} == {*"abcd"}


def test_a_killed_process_costs_no_more_than_the_work_since_its_last_state(chains, tmp_path):
    world = world_of(chains, tmp_path)
    world.command(Machine("a"))
    killed = random.Random(1).sample(sorted(world.work), 10)
    world.faults = {name: Fault(0.7 * world.work[name], -9) for name in killed}
    took, total = world.run(), sum(world.work.values())
    trained(world)
    assert len([own for own in world.history if own.code == -9]) == 10
    assert total < took <= total + 10 * SAVE_SECONDS + 2 * TICK * (len(world.work) + 10)
    assert sum("it is started again" in text for text in world.commands[0].recorder.notes) == 10


@pytest.mark.parametrize("jump", [-3600.0, 0.0, 3600.0])
@pytest.mark.parametrize("lost_at", [50.0, 1000.0])
def test_what_a_lost_machine_trained_is_taken_over_whatever_clocks_say(chains, tmp_path, lost_at, jump):
    world = world_of(chains, tmp_path)
    world.jumps = [(lost_at + 1, jump)]
    world.command(Machine("b", until=lost_at))
    world.command(Machine("a", 30))
    world.run()
    trained(world)
    assert [command.error for command in world.commands] == ["lost", ""]
    (lost,) = [own for own in world.history if own.code == LOST]
    again = next(own for own in world.history if own.stage == lost.stage and own.code == 0)
    soonest = SEEN_SECONDS if jump > 0 else VOID_SECONDS
    assert soonest - RENEW_SECONDS <= again.began - lost_at <= TAKE_OVER
    left = world.work[lost.stage] - (lost.ended - lost.began)
    assert left <= again.ended - again.began + 1 <= left + SAVE_SECONDS + 2


def test_a_cluster_goes_on_without_a_lost_machine(chains, tmp_path):
    world = world_of(chains, tmp_path)
    machines = [Machine("a", 2), Machine("b", 2, until=1500.0), Machine("c", 2)]
    command = world.command(Machine("head"), machines)
    world.run()
    trained(world)
    assert not command.error
    lost = [own for own in world.history if own.code == LOST]
    assert {own.owner.host for own in lost} == {"b"}
    assert len(lost) == 2
    assert all(own.ended <= 1500 for own in world.history if own.owner.host == "b")
    for one in lost:
        again = next(own for own in world.history if own.stage == one.stage and own.code == 0)
        assert again.began >= 1500 + 60 - 10, "not before the claim was void"


def test_a_stage_that_fails_ends_no_other_but_those_that_start_from_it(chains, tmp_path):
    world = world_of(chains, tmp_path)
    world.faults = {"longer pretrain": Fault(10, 2), "toy finetune, seed 3": Fault(10, 2)}
    command = world.command(Machine("a", 3))
    world.run()
    assert command.error in {"longer pretrain: failed", "toy finetune, seed 3: failed"}
    done = {own.stage for own in world.history if own.code == 0}
    left_out = {f"longer finetune, seed {seed}" for seed in range(SEEDS)} | set(world.work) - done
    assert (
        set(world.work) - done
        == left_out
        == {
            "longer pretrain",
            "toy finetune, seed 3",
            *(f"longer finetune, seed {seed}" for seed in range(SEEDS)),
        }
    )


def test_a_straggler_is_waited_for_and_not_overtaken(chains, tmp_path):
    world = world_of(chains, tmp_path)
    slow, fast = Machine("slow", speed=0.1), Machine("fast", 4)
    world.command(slow)
    world.command(fast)
    took = world.run()
    trained(world)
    assert len([own for own in world.history if own.owner.host == "slow"]) >= 1
    assert took <= 10 * longest_chain(world) + sum(world.work.values()) / 4


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_is_set_while_stages_are_trained_changes_nothing(chains, tmp_path, jump):
    usual, jumping = world_of(chains, tmp_path / "usual"), world_of(chains, tmp_path / "jumping")
    jumping.jumps = [(55.0, jump), (705.0, -jump), (1200.0, jump)]
    for world in (usual, jumping):
        for name in "abc":
            world.command(Machine(name, 9))
    times = [world.run() for world in (usual, jumping)]
    trained(jumping)
    assert times[0] == pytest.approx(times[1], abs=0.01)


def test_everything_at_once(chains, tmp_path):
    """Kills, a straggler, a lost machine, a cluster and clocks that jump, drawn at random."""
    for seed in range(4):
        world, rng = world_of(chains, tmp_path, seed=seed), random.Random(seed)
        killed = rng.sample(sorted(world.work), 5)
        world.faults = {name: Fault(rng.uniform(0, world.work[name]), -9) for name in killed}
        world.jumps = [(rng.uniform(0, 5000), rng.choice((-3600, 3600))) for _ in range(4)]
        world.command(Machine("a", 2))
        world.command(Machine("b", 2, until=rng.uniform(100, 3000)))
        cluster = [Machine("c", 1, speed=0.3), Machine("d", 2, until=rng.uniform(100, 3000))]
        world.command(Machine("head"), cluster, begins=rng.uniform(0, 1000))
        world.run()
        trained(world)
