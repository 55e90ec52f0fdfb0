"""A changed copy of a file: one of the changes that fit its name, and often further ones."""

import random

from tests.mutation.byte_changes import BYTES, Change
from tests.mutation.value_changes import (
    drop_line,
    json_line,
    json_value,
    repeat_line,
    swap_lines,
    table_cell,
    table_separator,
    yaml_trap,
    yaml_value,
)

_LINES = {change.__name__: change for change in (repeat_line, drop_line, swap_lines)}
_JSON_LINES = {"json_line": json_line, **_LINES}
_YAML = {"yaml_value": yaml_value, "yaml_trap": yaml_trap}
_TABLE = {"table_cell": table_cell, "table_separator": table_separator, **_LINES}
BY_SUFFIX: tuple[tuple[tuple[str, ...], dict[str, Change]], ...] = (
    ((".json",), {"json_value": json_value}),
    ((".jsonl",), _JSON_LINES),
    ((".yaml",), _YAML),
    ((".csv", ".tsv", ".txt"), _TABLE),
)
"""Changes of values, by the suffixes of the files that have them."""


def mutate(content: bytes, name: str, rng: random.Random) -> tuple[str, bytes]:
    """Return what was changed, and the changed content of a file of this name."""
    of_values = next((changes for suffixes, changes in BY_SUFFIX if name.endswith(suffixes)), BYTES)
    first = rng.choice(list(of_values if rng.random() < 0.7 else BYTES))
    others = rng.choices(list(BYTES), k=rng.randint(1, 3)) if rng.random() < 0.25 else []
    for chosen in (first, *others):
        content = (BYTES | of_values)[chosen](content, rng)
    return " + ".join((first, *others)), content
