"""Edges of moments: a head and a loss for them, and an encoder block that mixes neighbouring frames."""

from amrbench import hookimpl
from amrbench_hello.edges import EdgeHead, EdgeLoss
from amrbench_hello.neighbours import Neighbours


@hookimpl
def amrbench_parts():
    """Offer the three parts."""
    return [EdgeHead, EdgeLoss, Neighbours]
