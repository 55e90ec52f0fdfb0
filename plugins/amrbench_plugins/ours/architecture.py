"""The parts that change the network (report, sections 2 and 3.4)."""

from __future__ import annotations

from amrbench.part import Part
from amrbench_plugins.ours.bimodal_prior import BimodalGaussian
from amrbench_plugins.ours.film import Film, Learned
from amrbench_plugins.ours.fourier import Coordinates, Fourier
from amrbench_plugins.ours.modality_norm import Modality
from amrbench_plugins.ours.percentile_anchors import Percentiles
from amrbench_plugins.ours.registers import Registers
from amrbench_plugins.ours.swish import Swish
from amrbench_plugins.ours.task_aligned import Confidence, Iou, TaskAligned
from amrbench_plugins.ours.temporal_difference import TemporalDifference

PARTS: tuple[type[Part], ...] = (
    Fourier,
    Coordinates,
    TemporalDifference,
    Registers,
    Film,
    Learned,
    Percentiles,
    BimodalGaussian,
    TaskAligned,
    Confidence,
    Iou,
    Swish,
    Modality,
)
