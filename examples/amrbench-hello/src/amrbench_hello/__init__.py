"""Edges of moments: a head and a loss for them, an encoder block, an executor, and an observer."""

from amrbench import hookimpl
from amrbench_hello.edges import EdgeHead, EdgeLoss
from amrbench_hello.lines import Csv
from amrbench_hello.machines import Ssh
from amrbench_hello.neighbours import Neighbours


@hookimpl
def amrbench_parts():
    """Offer the five parts."""
    return [Csv, EdgeHead, EdgeLoss, Neighbours, Ssh]
