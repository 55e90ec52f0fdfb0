"""Kill a run of ours3 at random times and begin it again: `python -m tests.kills --kills 50 --jobs 2`.

A process is killed with SIGKILL, with all its workers. Whenever a run has ended, its files are compared with
those of one that was not disturbed, and the next run begins with an empty store. States are saved every
`--save-every` seconds instead of every minute, because the stages are short.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from amrbench.experiment.run import Settings, run
from amrbench.training import saved_states
from tests.folders import ROOT
from tests.golden.numbers import registry
from tests.small_world.runs import what_runs_left

PROTOCOL = Path(__file__).with_name("small.yaml")
VARIABLE = "AMRBENCH_TEST_SAVE_EVERY"

if VARIABLE in os.environ:  # In workers too, which import this module.
    saved_states.EPOCH_SECONDS = saved_states.LONGEST_SECONDS = float(os.environ[VARIABLE])


@dataclass
class Tally:
    """What became of the runs."""

    kills: int = 0
    in_stages: int = 0
    runs: int = 0
    different: list[str] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    """Seconds from the last saved state, or the begin of a stage, to a kill; new starts count too."""

    def text(self) -> str:
        """Return one sentence for each number."""
        lost = f"at most {max(self.lost):.1f} s" if self.lost else "no time"
        return (
            f"{self.kills} kills, {self.in_stages} of them inside of stages; {self.runs} runs ended, "
            f"{len(self.different)} of them with other files; {lost} from the last saved state to a kill\n"
            + "".join(f"different: {name}\n" for name in self.different)
        )


def child(folder: Path, jobs: int) -> None:
    """Run the recipe in a folder."""
    settings = Settings(jobs=jobs, out=folder / "runs", cache=folder / "cache")
    run("ours3", PROTOCOL, registry=registry(), settings=settings)


def started(folder: Path, jobs: int, save_every: float) -> subprocess.Popen:
    """Begin the run in a process group of its own."""
    command = [sys.executable, "-m", "tests.kills", "--child", str(folder), "--jobs", str(jobs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", VARIABLE: str(save_every)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    )


def lost_seconds(folder: Path) -> list[float]:
    """Return for each unfinished stage how long ago it was begun or saved."""
    now = time.time()
    times = []
    for making in (folder / "cache" / "stages").glob("*.making-*"):
        states = [path.stat().st_mtime for path in making.glob("state-*/SHA256SUMS")]
        times.append(now - max(states, default=making.stat().st_ctime))
    return times


def differing(left: Mapping[str, bytes], expected: Mapping[str, bytes]) -> list[str]:
    """Return the names of files that differ, or that one of the two lacks."""
    return [name for name in sorted({*left, *expected}) if left.get(name) != expected.get(name)]


def killed(folder: Path, *, kills: int, jobs: int, seed: int, save_every: float, longest: float) -> Tally:
    """Kill runs at random times, and compare the files of those that end."""
    draw, tally = random.Random(seed), Tally()
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    whole = started(undisturbed, 1, save_every)
    if whole.wait() != 0:
        raise RuntimeError(whole.stderr.read())
    expected = what_runs_left(undisturbed)
    shutil.copytree(undisturbed / "cache" / "data", disturbed / "cache" / "data")
    while tally.kills < kills or not tally.runs:
        process = started(disturbed, jobs, save_every)
        try:
            wait = draw.uniform(2.0, longest) if tally.kills < kills else None
            code = process.wait(wait)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            lost = lost_seconds(disturbed)
            tally.kills, tally.in_stages = tally.kills + 1, tally.in_stages + bool(lost)
            tally.lost += lost
            continue
        if code:
            raise RuntimeError(process.stderr.read())
        tally.runs += 1
        if names := differing(what_runs_left(disturbed), expected):
            tally.different.append(f"run {tally.runs}: {', '.join(names)}")
        shutil.rmtree(disturbed / "runs")
        shutil.rmtree(disturbed / "cache" / "stages")
    return tally


def main() -> int:
    """Print what became of the runs; return 1 if one of them gave other files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=float, default=1.0)
    parser.add_argument("--longest", type=float, default=20.0, help="longest time before a kill, in seconds")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.jobs)
        return 0
    with TemporaryDirectory() as folder:
        tally = killed(
            Path(folder),
            kills=options.kills,
            jobs=options.jobs,
            seed=options.seed,
            save_every=options.save_every,
            longest=options.longest,
        )
    print(tally.text(), end="")
    return bool(tally.different)


if __name__ == "__main__":
    sys.exit(main())
