"""Edges of moments: a head for `moment-detr` and a loss."""

from amrbench import hookimpl
from amrbench_hello.edges import EdgeHead, EdgeLoss


@hookimpl
def amrbench_parts():
    """Offer both parts."""
    return [EdgeHead, EdgeLoss]
