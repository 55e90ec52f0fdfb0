"""An executor: a stage at a time on each of some machines, by ssh."""

import shlex
from subprocess import DEVNULL, STDOUT, Popen

from pydantic import Field

from amrbench.slots.executors import ExecutorPart


class Ssh(ExecutorPart):
    """Train stages on machines that share the folders of this one, one stage at a time on each."""

    use = "ssh"
    hosts: tuple[str, ...] = Field(("localhost",), min_length=1, description="names of the machines")

    def build(self, jobs):
        return Machines(self.hosts[:jobs])


class Machines:
    """See `Ssh`. A `Popen` is a job, and a lost connection counts as a lost task."""

    def __init__(self, hosts):
        self.busy = dict.fromkeys(hosts)

    def slots(self):
        return len(self.busy)

    def submit(self, tasks):
        return [self.start(task) for task in tasks]

    def start(self, task):
        host = next(host for host, job in self.busy.items() if job is None or job.poll() is not None)
        command = ["ssh", host, shlex.join(task.command)]
        with task.log.open("ab") as log:
            self.busy[host] = Popen(command, stdin=DEVNULL, stdout=log, stderr=STDOUT)
        return self.busy[host]
