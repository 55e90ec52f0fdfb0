"""Call the command line in a forked process with limits, and report how it ends."""

from __future__ import annotations

import faulthandler
import io
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path

from amrbench import cli
from amrbench.data import worker_pool

CPU_SECONDS = 10
MEMORY = 1 << 30
"""Bytes above the start."""
ADDRESSES = 4 * MEMORY
"""Bytes of addresses above the start; a little process must not fill the machine before it is stopped."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
}
_RUNS = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "pickle.find_class"}


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: Its exit code; -1 if it did not end by itself.
        text: What it wrote to stderr, or the traceback.
        fault: Why this is a defect of the program; empty if it is not.
        seconds: Of CPU.
        mebibytes: The most memory above the start.
    """

    code: int
    text: str
    fault: str = ""
    seconds: float = 0.0
    mebibytes: float = 0.0


class AtOnce(Executor):
    """Runs tasks when they are submitted, in this process: starting a process takes seconds."""

    _processes = None

    def __init__(self, *arguments, **options) -> None:
        pass

    def submit(self, task, /, *arguments, **options):
        future: Future = Future()
        try:
            future.set_result(task(*arguments, **options))
        except Exception as error:
            future.set_exception(error)
        return future


def call(folder: Path, command: Sequence[str]) -> Outcome:
    """Run a command of `amrbench` in a folder, in a forked process."""
    return call_all([(folder, command)])[0]


def call_all(calls: Sequence[tuple[Path, Sequence[str]]]) -> list[Outcome]:
    """Run commands in their folders, one after another in a forked process; if it ends, in another one."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(calls):
        outcomes += _in_one_process(calls[len(outcomes) :])
    return outcomes


def _in_one_process(calls: Sequence[tuple[Path, Sequence[str]]]) -> list[Outcome]:
    """Return the outcomes up to a command at which the process ended, or of all."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as report:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Of forks while threads run; none runs here.
            child = os.fork()
        if not child:
            _run_all(calls, report)
        _, status = os.waitpid(child, 0)
        report.seek(0)
        outcomes = [Outcome(**json.loads(line)) for line in report]
    if len(outcomes) < len(calls):
        number = os.waitstatus_to_exitcode(status)
        outcomes.append(Outcome(-1, "", f"ended by {signal.Signals(-number).name if number < 0 else number}"))
    return outcomes


def _run_all(calls: Sequence[tuple[Path, Sequence[str]]], report: io.TextIOBase) -> None:
    """Run commands, write their outcomes and end this process."""
    faulthandler.disable()
    worker_pool.ProcessPoolExecutor = AtOnce
    watch = Watch()
    sys.addaudithook(watch)
    for folder, command in calls:
        watch.folder = folder.resolve()
        report.write(json.dumps(asdict(_run(command, watch))) + "\n")
        report.flush()
    os._exit(0)


def _run(command: Sequence[str], watch: Watch) -> Outcome:
    """Run a command in this process."""
    folder = watch.folder
    os.chdir(folder)
    cache, data = str(folder / "cache"), str(folder / "data")
    os.environ.update(AMRBENCH_CACHE=cache, AMRBENCH_DATA=data, TMPDIR=str(folder))
    tempfile.tempdir = None
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    memory = _limit()
    code, fault, text = -1, "", ""
    watch.seen.clear()
    started = time.process_time()
    try:
        with redirect_stdout(output), redirect_stderr(errors), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.argv = ["amrbench", *command]
            cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException as error:
        fault, text = _name_of(error), traceback.format_exc()
    seconds, mebibytes = time.process_time() - started, (_peak() - memory) / 2**20
    errors.flush()
    text = text or errors.buffer.getvalue().decode()  # type: ignore[attr-defined]
    fault = fault or _fault_of(code, text, seconds, mebibytes)
    return Outcome(code, text, f"did {watch.seen[0]}" if watch.seen else fault, seconds, mebibytes)


def _fault_of(code: int, text: str, seconds: float, mebibytes: float) -> str:
    if code not in (0, 2):
        return f"exit code {code}"
    if code == 2 and not text.strip():
        return "exit code 2 without a message"
    if seconds > CPU_SECONDS:
        return f"took {seconds:.1f} s of CPU"
    return f"took {mebibytes:.0f} MiB" if mebibytes * 2**20 > MEMORY else ""


def _limit() -> int:
    """Set the limits of this process and return its memory in bytes."""
    used = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS + 2, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not Path("/proc/self/status").exists():
        return _peak()
    Path("/proc/self/clear_refs").write_text("5")  # The peak begins anew.
    addresses = _kibibytes("VmSize") * 1024
    resource.setrlimit(resource.RLIMIT_AS, (addresses + ADDRESSES, resource.RLIM_INFINITY))
    return _kibibytes("VmRSS") * 1024


def _peak() -> int:
    if Path("/proc/self/status").exists():
        return _kibibytes("VmHWM") * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _kibibytes(name: str) -> int:
    matched = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(matched[1]) if matched else 0


def _name_of(error: BaseException) -> str:
    """Return the type of an error, with the file and line of the program where it passed last."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "amrbench" in frame.filename]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


class Watch:
    """Notes each change outside of a folder, and whatever runs something, as an audit hook."""

    def __init__(self) -> None:
        self.folder = Path()
        self.seen: list[str] = []

    def __call__(self, event: str, values: tuple) -> None:
        if event in _RUNS:
            self.seen.append(f"{event} {values!r:.200}")
        elif event == "open":
            path, _, flags = values
            if isinstance(path, str | bytes) and isinstance(flags, int) and flags & _WRITES:
                self._note_outside(event, path)
        elif event in _CHANGES:
            for value in values:
                if isinstance(value, str | bytes | os.PathLike):
                    self._note_outside(event, value)

    def _note_outside(self, event: str, path: str | bytes | os.PathLike) -> None:
        real = os.path.realpath(os.fsdecode(path))
        if real != str(self.folder) and not real.startswith((f"{self.folder}{os.sep}", "/dev/null")):
            self.seen.append(f"{event} {real}")
