"""Where stages are trained: processes of this machine, a Ray cluster, or a SLURM cluster."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the executors."""
    from amrbench_plugins.executors.local import Local
    from amrbench_plugins.executors.ray_cluster import Ray
    from amrbench_plugins.executors.slurm import Submitit

    return [Local, Ray, Submitit]
