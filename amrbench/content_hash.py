"""Hashes and seeds that depend on plain values alone."""

from __future__ import annotations

import hashlib
import json


def content_hash(content: object) -> str:
    """Return 24 hexadecimal digits that are equal for equal content.

    Args:
        content: Mappings, lists, tuples, text, numbers, None. Lists and tuples count as the same, and the
            order of a mapping's keys is ignored.

    >>> content_hash({"a": 1, "b": (2, 3)}) == content_hash({"b": [2, 3], "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def seed_from(*names: object) -> int:
    """Return a seed that depends on these names alone."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "little") % (1 << 63)
