"""Edges of moments: a head and a loss for them, an encoder block, and an executor."""

from amrbench import hookimpl
from amrbench_hello.edges import EdgeHead, EdgeLoss
from amrbench_hello.machines import Ssh
from amrbench_hello.neighbours import Neighbours


@hookimpl
def amrbench_parts():
    """Offer the four parts."""
    return [EdgeHead, EdgeLoss, Neighbours, Ssh]
