"""Machines in simulated time, on which the real scheduler trains stages that take time and do nothing else.

Queue, claims, folders and checksums are the real ones; clocks, processes and training are simulated. A
command is a thread that runs alone until it pauses. When all have paused, clock and jobs go on.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from amrbench.errors import RunError
from amrbench.files import claim
from amrbench.files.checksums import write_checksums
from amrbench.files.claim import RENEW_SECONDS, Claim
from amrbench.files.owner import Owner
from amrbench.notes import collected_notes
from amrbench.slots.executors import LOST, Task
from amrbench.training import stage_queue, stage_store
from amrbench.training.memory_room import AnyRoom
from amrbench.training.stage_queue import POLL_SECONDS, missing_stages, train_with
from amrbench.training.stage_spec import StageSpec, distinct_stages
from amrbench.training.stage_store import begin_folder, claim_file, finish_folder, is_finished
from amrbench.training.store_layout import DONE
from amrbench.training.task_report import TaskReport
from tests.small_world.runs import Recorder

WAIT_SECONDS = 5.0
"""Longest step of the clock while a process waits for a claim."""
SAVE_SECONDS = 60.0
"""Work between two saved states."""
ROUNDING = 1e-6
"""Seconds by which clocks may be wrong."""
BEGIN = 1e9
"""Of the clock of the file system."""


class MachineLostError(Exception):
    """The machine of a command went down."""


@dataclass
class Machine:
    """Trains some stages at the same time, with a speed; it may go down."""

    name: str
    slots: int = 1
    speed: float = 1.0
    until: float = math.inf

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True)
class Fault:
    """What ends the first job of a stage: after how many seconds of work, and the exit code."""

    after: float
    code: int


@dataclass
class SimulatedProcess:
    """What claims know of a process."""

    owner: Owner
    held: set[Path] = field(default_factory=set)
    seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)
    ended: bool = False


@dataclass(eq=False)
class SimulatedJob:
    """A process that trains one stage."""

    world: World
    spec: StageSpec
    task: Task
    machine: Machine
    process: SimulatedProcess
    claim: Claim
    code: int | None = None
    began: float = math.nan
    """When it got its claim."""
    done: float = 0.0
    """Seconds of work."""

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        if self.code is None:
            self.end(128 + 15)

    @property
    def trains(self) -> bool:
        return self.code is None and not math.isnan(self.began)

    @property
    def stops_at(self) -> float:
        """The work after which it ends, or fails."""
        fault = self.world.faults.get(self.spec.name)
        return min(self.world.work[self.spec.name], fault.after if fault else math.inf)

    def next_event(self) -> float:
        """Return when it ends or is lost."""
        left = (self.stops_at - self.done) / self.machine.speed if self.trains else math.inf
        return min(self.world.now + left, self.machine.until)

    def advance(self, seconds: float) -> None:
        """Work on until now."""
        if self.code is not None:
            return
        if self.trains:
            self.done = min(self.stops_at, self.done + seconds * self.machine.speed + ROUNDING)
        if self.world.now >= self.machine.until:
            self.end(LOST)
        elif self.trains and self.done >= self.stops_at:
            fault = self.world.faults.pop(self.spec.name, None)
            self.end(fault.code if fault and self.done < self.world.work[self.spec.name] else 0)
        elif self.trains:
            self.renew()
        else:
            self.begin()

    def renew(self) -> None:
        """Renew the claim, as of the last time at which that was due."""
        since = (self.world.now - self.began) % RENEW_SECONDS
        with (
            self.world.as_process(self.process),
            patch.object(self.world, "touch_at", self.world.now - since),
        ):
            self.claim.renew()

    def begin(self) -> None:
        """Train as soon as no other process does."""
        with self.world.as_process(self.process):
            if is_finished(self.spec, self.world.store):
                self.code, self.process.ended = 0, True
            elif self.claim.take():
                self.began, folder = self.world.now, begin_folder(self.spec, self.world.store)
                self.renew()  # By the simulated clock.
                self.done = max((float(state.name[6:]) for state in folder.glob("state-*")), default=0.0)

    def end(self, code: int) -> None:
        """End: with the stage, or with its last saved state."""
        self.code = code
        if math.isnan(self.began):
            self.process.ended = True
            return
        self.renew()
        self.world.history.append(
            Trained(self.spec.name, self.process.owner, self.began, self.world.now, code)
        )
        with self.world.as_process(self.process):
            folder = stage_store.unfinished_folder(self.spec, self.world.store)
            if code == 0:
                (folder / DONE).write_text(self.spec.name)
                write_checksums(folder, [DONE])
                with collected_notes(self.world.differences.append):
                    finish_folder(self.spec, self.world.store)
            elif saved := self.done // SAVE_SECONDS * SAVE_SECONDS:
                for state in folder.glob("state-*"):
                    state.rmdir()
                (folder / f"state-{saved:09.0f}").mkdir()
            if code in (0, 2, 128 + 15):
                self.claim.release()
        if code == 2:
            TaskReport(error=f"{self.spec.name}: failed").write(self.task.file)
        self.process.ended = True


@dataclass(frozen=True)
class Trained:
    """A time in which a process trained a stage."""

    stage: str
    owner: Owner
    began: float
    ended: float
    code: int


@dataclass
class SimulatedExecutor:
    """Does tasks on some machines, the fastest that is free first."""

    world: World
    machines: Sequence[Machine]
    jobs: list[SimulatedJob] = field(default_factory=list)

    def slots(self) -> int:
        return sum(machine.slots for machine in self._up())

    def submit(self, tasks: Sequence[Task]) -> list[SimulatedJob]:
        return [self._submit(task) for task in tasks]

    def _up(self) -> list[Machine]:
        return [machine for machine in self.machines if self.world.now < machine.until]

    def _submit(self, task: Task) -> SimulatedJob:
        spec, process = self.world.specs[task.name], None
        free = {machine: machine.slots - sum(job.machine is machine and job.code is None for job in self.jobs)
                for machine in self._up()}  # fmt: skip
        machine = max(free, key=lambda own: (free[own] > 0, own.speed, free[own]))
        process = self.world.new_process(machine)
        job = SimulatedJob(
            self.world, spec, task, machine, process, Claim(claim_file(spec, self.world.store))
        )
        self.jobs.append(job)
        job.begin()
        return job


class Command:
    """`amrbench run` on a machine, with an executor."""

    def __init__(self, world: World, at: Machine, machines: Sequence[Machine], begins: float = 0.0) -> None:
        self.world, self.at, self.begins = world, at, begins
        self.executor = SimulatedExecutor(world, machines)
        self.process, self.recorder = world.new_process(at), Recorder()
        self.turn, self.ended, self.error = threading.Semaphore(0), False, ""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self.turn.acquire()
        try:
            store = self.world.store
            missing = missing_stages(self.world.chains, store)
            tasks = store.parent / f"tasks-{self.process.owner.process}"
            tasks.mkdir()
            if missing:
                train_with(
                    self.executor,
                    missing,
                    store,
                    task_of=lambda spec: Task(spec.name, tasks / f"{spec.key}.json", "cpu", 1, int),
                    room=AnyRoom(),
                    reporter=self.recorder,
                )
        except RunError as error:
            self.error = str(error)
        except MachineLostError:
            self.error = "lost"
        finally:
            self.ended = self.process.ended = True
            self.world.paused.release()

    def pause(self) -> None:
        """Let the others work until it is this command's turn again."""
        self.world.paused.release()
        self.turn.acquire()
        if self.world.now >= self.at.until:
            raise MachineLostError


class World:
    """Stages with a time each, the machines, and a clock."""

    def __init__(
        self, folder: Path, chains: Sequence[StageSpec], work: Mapping[str, float], tick: float = POLL_SECONDS
    ) -> None:
        """`work` has the seconds of each stage at speed 1 by its name; commands look every `tick` seconds."""
        self.store, self.chains, self.work, self.tick = folder / "stages", chains, work, tick
        self.specs = {spec.name: spec for spec in distinct_stages(chains)}
        self.faults: dict[str, Fault] = {}
        self.jumps: list[tuple[float, float]] = []
        """Times, and seconds by which the clock of the file system is set then."""
        self.history: list[Trained] = []
        self.differences: list[str] = []
        self.now, self.processes, self.paused = 0.0, 0, threading.Semaphore(0)
        self.commands: list[Command] = []
        self.current: SimulatedProcess | None = None
        self.touch_at: float | None = None

    def new_process(self, machine: Machine) -> SimulatedProcess:
        self.processes += 1
        return SimulatedProcess(Owner(machine.name, self.processes, machine.name))

    def command(self, at: Machine, machines: Sequence[Machine] = (), begins: float = 0.0) -> Command:
        """Give the command on a machine, for this machine or others."""
        self.commands.append(Command(self, at, machines or [at], begins))
        return self.commands[-1]

    def run(self) -> float:
        """Let all commands end; return the time that has passed."""
        self.store.mkdir(parents=True)
        with self._patched():
            while running := [command for command in self.commands if not command.ended]:
                for command in running:
                    if self.now >= command.begins:
                        with self.as_process(command.process):
                            command.turn.release()
                            self.paused.acquire()
                self._advance()
        return max((own.ended for own in self.history), default=0.0)

    def _advance(self) -> None:
        jobs = [job for command in self.commands for job in command.executor.jobs if job.code is None]
        events = [job.next_event() for job in jobs] + [command.begins for command in self.commands]
        events += [at for at, _ in self.jumps]
        coming = min((event for event in events if event > self.now), default=math.inf)
        waiting = not all(job.trains for job in jobs) or (self._idle(jobs) and self._stale_claims(jobs))
        longest = WAIT_SECONDS if waiting else math.inf
        step = (
            max(self.tick, min(coming - self.now, longest)) if min(coming, longest) < math.inf else self.tick
        )
        self.now += step
        for job in jobs:
            job.advance(step)

    def _idle(self, jobs: Sequence[SimulatedJob]) -> bool:
        """Whether a command could begin another stage."""
        going = [command for command in self.commands if not command.ended]
        slots = sum(command.executor.slots() for command in going if self.now >= command.begins)
        return slots > len(jobs)

    def _stale_claims(self, jobs: Sequence[SimulatedJob]) -> bool:
        """Whether a claim is left of a process that has ended."""
        held = {job.claim.path for job in jobs if job.trains}
        return any(file not in held for file in self.store.glob("*.claim"))

    def file_clock(self, now: float | None = None) -> float:
        """Return the time by the clock of the file system, now or earlier."""
        now = self.now if now is None else now
        return BEGIN + now + sum(by for at, by in self.jumps if now >= at)

    @contextmanager
    def as_process(self, process: SimulatedProcess) -> Iterator[None]:
        """Within this context, claims and folders are those of a process."""
        before, self.current = self.current, process
        with (
            patch.object(Claim, "_held", process.held),
            patch.object(Claim, "_seen", process.seen),
        ):
            try:
                yield
            finally:
                self.current = before

    def _has_ended(self, owner: Owner) -> bool:
        """Whether a process is known to have ended: on the same machine it is, on others it is not."""
        every = [command.process for command in self.commands]
        every += [job.process for command in self.commands for job in command.executor.jobs]
        known = self.current is not None and owner.space == self.current.owner.space
        return known and any(one.owner == owner and one.ended for one in every)

    @contextmanager
    def _patched(self) -> Iterator[None]:
        set_times = os.utime

        def touch(path: Path, times: tuple[float, float] | None = None) -> None:
            set_times(path, times or (self.file_clock(self.touch_at),) * 2)

        def pause(_: float) -> None:
            next(own for own in self.commands if own.process is self.current).pause()

        def this_process() -> Owner:
            return self.current.owner

        with ExitStack() as patches:
            for patched in (
                patch.object(stage_queue, "time", SimpleNamespace(sleep=pause)),
                patch.object(claim, "time", SimpleNamespace(monotonic=lambda: self.now)),
                patch.object(claim, "this_process", this_process),
                patch.object(stage_store, "this_process", this_process),
                patch.object(Claim, "_now", lambda _: self.file_clock()),
                patch.object(claim.os, "utime", touch),
                patch.object(Owner, "has_ended", lambda owner: self._has_ended(owner)),
            ):
                patches.enter_context(patched)
            yield
