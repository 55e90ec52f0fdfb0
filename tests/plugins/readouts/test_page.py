"""The read-out on the page about read-outs works."""

import re

import pytest

from amrbench.registry import Registry
from amrbench.testing import check_part
from amrbench_plugins.moment_detr import amrbench_parts as models
from tests.folders import ROOT
from tests.plugins.readouts.frames import outputs_of

IMPORTS = """
from collections.abc import Mapping
from functools import partial
from statistics import median
import torch
from amrbench.slots.readout import Readout, ReadoutPart
from amrbench.types import Outputs, Plain, Proposals
"""


def test_the_example_keeps_the_contract_and_finds_the_loudest_frame():
    page = (ROOT / "docs" / "readouts.md").read_text(encoding="utf-8")
    names = {"__name__": "example"}
    exec(IMPORTS + re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], names)
    part = names["Loudest"]()
    check_part(part, Registry.of(names["Loudest"], *models()))
    found = part.build(part.fit((0.2, 0.5, 0.3)))(outputs_of([0, 1, 7, 2], [3, 1]))
    assert found.spans.flatten(1).tolist() == [pytest.approx([0.625, 0.3]), pytest.approx([0.25, 0.3])]
    assert found.scores.flatten().tolist() == [7, 3]
