"""Change inputs at random and call the command that reads them: `python -m tests.mutation --seed 0`.

No command may end with a traceback, take more than 10 s of CPU or 1 GiB above the start, or change anything
outside of its folder. A case depends on the seed, the reader and its number alone; the folders of those that
fail are kept.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from tests.mutation.inputs import make_inputs
from tests.mutation.isolation import Outcome
from tests.mutation.preload import preload
from tests.mutation.readers import READERS, numbers_of, refused_without_a_change, run_cases


@dataclass
class Tally:
    """What became of the cases of a reader."""

    cases: int = 0
    read: int = 0
    refused: int = 0
    faults: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    mebibytes: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.cases += 1
        self.read += outcome.code == 0
        self.refused += outcome.code == 2
        self.faults[outcome.fault] += bool(outcome.fault)
        self.seconds = max(self.seconds, outcome.seconds)
        self.mebibytes = max(self.mebibytes, outcome.mebibytes)


def main() -> int:
    """Run the cases and print a row for each reader; return 1 if any failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", default="0")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--reader", action="append", choices=[reader.name for reader in READERS])
    parser.add_argument("--case", type=int, help="run this case alone and keep its folder")
    parser.add_argument(
        "--kept", type=Path, default=Path("mutation-failures"), help="folder of the cases that fail"
    )
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    preload()
    readers = [reader for reader in READERS if options.reader is None or reader.name in options.reader]
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch) / "inputs"
        inputs.mkdir()
        make_inputs(inputs)
        for reader in readers:
            tally = tallies[reader.name] = Tally()
            commands = [command for _, commands in reader.cases for command in commands]
            for text in refused_without_a_change(reader, commands, inputs, Path(scratch) / "copy"):
                parser.error(f"without any change, {text}")
            numbers = numbers_of(reader, options.cases) if options.case is None else [options.case]
            start = time.monotonic()
            seeds = [f"{options.seed} {reader.name} {number}" for number in numbers]
            cases = run_cases(reader, seeds, inputs, Path(scratch) / "cases")
            for number, (about, folder, outcome) in zip(numbers, cases, strict=True):
                tally.add(outcome)
                if outcome.fault or options.case is not None:
                    print(f"{reader.name} {number}: {outcome.fault}: {about}\n{outcome.text[-1500:]}")
                    kept = options.kept / f"{reader.name.replace(' ', '-')}-{number}"
                    shutil.rmtree(kept, ignore_errors=True)
                    shutil.copytree(folder, kept, symlinks=True)
            spent = time.monotonic() - start
            print(f"{reader.name}: {tally.cases} cases in {spent:.0f} s", file=sys.stderr, flush=True)
    faults = sum(sum(tally.faults.values()) for tally in tallies.values())
    print(tabulate([_row(name, tally) for name, tally in tallies.items()], headers="keys", tablefmt="github"))
    return int(faults > 0)


def _row(name: str, tally: Tally) -> dict[str, object]:
    return {
        "what is read": name,
        "cases": tally.cases,
        "read": tally.read,
        "refused": tally.refused,
        "failures": sum(tally.faults.values()),
        "most CPU (s)": round(tally.seconds, 1),
        "most memory (MiB)": round(tally.mebibytes),
    }


if __name__ == "__main__":
    sys.exit(main())
