"""Which process something in a shared folder belongs to, among those of all machines and containers.

The number of a process is unique within a container at most, and containers may share the name of a host.
"""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        host: Name of its host.
        process: Its number.
        space: What the number is unique in, as a hash of the host, its last start and the container.
    """

    host: str
    process: int
    space: str = ""

    @property
    def label(self) -> str:
        """Return a text for names of files that no other process uses."""
        return f"{self.space}-{self.process}"

    def text(self) -> str:
        """Return e.g. "123 on gpu4", or "123" for a process that is listed beside this one."""
        return str(self.process) if self.space == number_space() else f"{self.process} on {self.host}"

    def has_ended(self) -> bool:
        """Whether it is known to have ended; of other hosts and containers nothing is known."""
        if self.space != number_space():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


def this_process() -> Owner:
    """Return this process."""
    return Owner(platform.node(), os.getpid(), number_space())


@cache
def number_space() -> str:
    """Return what the numbers of the processes beside this one are unique in."""
    parts = [platform.node()]
    with suppress(OSError):  # Other systems than Linux have neither.
        parts.append((_PROC / "sys/kernel/random/boot_id").read_text().strip())
        parts.append(str((_PROC / "self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]
