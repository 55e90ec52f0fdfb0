"""How much memory is free: of the machine, and of the control groups that limit this process.

Containers and SLURM limit memory by control groups, versions 1 and 2 of which Linux has
(https://docs.kernel.org/admin-guide/cgroup-v2.html). Libraries such as psutil know the memory of the machine
only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_NAMES = {
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    "": ("memory.max", "memory.current", "inactive_file"),
}
"""By the name of the controller: the files with limit and usage, and the line of memory.stat with the bytes
of the usage that are copies of files, which the system drops when it needs room."""
_MOUNTS = {"memory": Path("sys/fs/cgroup/memory"), "": Path("sys/fs/cgroup")}


def free_memory(root: Path = Path("/")) -> float:
    """Return the bytes that this process and those that it starts could still take.

    It is infinite where that is not known, as on macOS.

    Args:
        root: Of the file system.
    """
    free = [_numbers(root / "proc/meminfo").get("MemAvailable", math.inf) * 1024]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in _NAMES.keys() & set(controllers.split(",")):
            groups = _levels(root / _MOUNTS[controller], path)
            free += [_free_in(group, *_NAMES[controller]) for group in groups]
    return min(free)


def _levels(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folders of a control group and of those that it is in; a container may see the last only."""
    folder = mount / path.strip("/")
    while folder != mount:
        yield folder
        folder = folder.parent
    yield mount


def _free_in(group: Path, limit: str, usage: str, droppable: str) -> float:
    """Return the bytes that are free in a control group; infinite if it has no limit."""
    try:
        used = int(_text(group / usage)) - _numbers(group / "memory.stat").get(droppable, 0)
        return max(0, int(_text(group / limit)) - used)  # "max" is no number.
    except ValueError:
        return math.inf


def _numbers(file: Path) -> Mapping[str, int]:
    """Return the numbers of lines such as "MemAvailable:  123 kB" or "inactive_file 123" by their names."""
    return {name: int(number) for name, number in re.findall(r"^(\w+):?\s+(\d+)", _text(file), re.MULTILINE)}


def _text(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(encoding="utf-8")
    return ""
