"""The training parts of this plugin: report, section 3."""

from __future__ import annotations

from amrbench.part import Part
from amrbench_plugins.ours.asam import PeriodicAsam
from amrbench_plugins.ours.iou_l1 import IouL1
from amrbench_plugins.ours.random_shift import RandomShift
from amrbench_plugins.ours.sigreg import Sigreg
from amrbench_plugins.ours.varifocal import Varifocal

PARTS: tuple[type[Part], ...] = (Varifocal, IouL1, Sigreg, RandomShift, PeriodicAsam)
