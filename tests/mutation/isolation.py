"""Call the command line in a forked process with limits, and report how it ends."""

import faulthandler
import io
import json
import os
import re
import resource
import signal
import sys
import tempfile
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
    with tempfile.TemporaryFile("w+", encoding="utf-8") as report:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Of forks while threads run; none runs here.
            child = os.fork()
        if not child:
            _run(folder.resolve(), command, report)
        _, status, usage = os.wait4(child, 0)
        report.seek(0)
        text = report.read()
    seconds = usage.ru_utime + usage.ru_stime
    if not text:
        number = os.waitstatus_to_exitcode(status)
        return Outcome(-1, "", f"ended by {signal.Signals(-number).name if number < 0 else number}", seconds)
    outcome = Outcome(**json.loads(text))
    if outcome.fault:
        return outcome
    too_slow = f"took {seconds:.1f} s of CPU" if seconds > CPU_SECONDS else ""
    too_large = f"took {outcome.mebibytes:.0f} MiB" if outcome.mebibytes * 2**20 > MEMORY else ""
    return Outcome(outcome.code, outcome.text, too_slow or too_large, seconds, outcome.mebibytes)


def _run(folder: Path, command: Sequence[str], report: io.TextIOBase) -> None:
    """Run a command, write its outcome and end this process."""
    faulthandler.disable()
    os.chdir(folder)
    os.environ.update(
        AMRBENCH_CACHE=str(folder / "cache"), AMRBENCH_DATA=str(folder / "data"), TMPDIR=str(folder)
    )
    tempfile.tempdir = None
    worker_pool.ProcessPoolExecutor = AtOnce
    seen: list[str] = []
    start = _limit()
    sys.addaudithook(lambda event, values: _watch(event, values, folder, seen))
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    code, fault, text = -1, "", ""
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
    if code == 1:
        fault = "exit code 1"
    if seen:
        fault = f"did {seen[0]}"
    errors.flush()
    text = text or errors.buffer.getvalue().decode()  # type: ignore[attr-defined]
    if code == 2 and not fault and not text.strip():
        fault = "exit code 2 without a message"
    report.write(json.dumps(asdict(Outcome(code, text, fault, mebibytes=(_peak() - start) / 2**20))))
    report.flush()
    os._exit(0)


def _limit() -> int:
    """Set the limits of this process and return its memory in bytes."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS + 2, CPU_SECONDS + 4))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = Path("/proc/self/status")
    if not status.exists():
        return _peak()
    Path("/proc/self/clear_refs").write_text("5")  # The peak begins anew.
    addresses = _kibibytes("VmSize") * 1024
    resource.setrlimit(resource.RLIMIT_AS, (addresses + ADDRESSES, addresses + ADDRESSES))
    return _peak()


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


def _watch(event: str, values: tuple, folder: Path, seen: list[str]) -> None:
    """Note a change outside of the folder, or anything that runs something."""
    if event in _RUNS:
        seen.append(f"{event} {values!r:.200}")
    elif event == "open":
        path, _, flags = values
        if isinstance(path, str | bytes) and isinstance(flags, int) and flags & _WRITES:
            _note_outside(event, path, folder, seen)
    elif event in _CHANGES:
        for value in values:
            if isinstance(value, str | bytes | os.PathLike):
                _note_outside(event, value, folder, seen)


def _note_outside(event: str, path: str | bytes | os.PathLike, folder: Path, seen: list[str]) -> None:
    real = os.path.realpath(os.fsdecode(path))
    if not real.startswith((f"{folder}{os.sep}", "/dev/null")) and real != str(folder):
        seen.append(f"{event} {real}")
