"""The components of the report "Advanced Audio Moment Retrieval via CG-DETR", one file each."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the parts of this plugin."""
    from amrbench_plugins.ours.asam import PeriodicAsam
    from amrbench_plugins.ours.bimodal_prior import BimodalGaussian
    from amrbench_plugins.ours.film import Film, Learned
    from amrbench_plugins.ours.fourier import Coordinates, Fourier
    from amrbench_plugins.ours.iou_l1 import IouL1
    from amrbench_plugins.ours.modality_norm import Modality
    from amrbench_plugins.ours.percentile_anchors import Percentiles
    from amrbench_plugins.ours.random_shift import RandomShift
    from amrbench_plugins.ours.registers import Registers
    from amrbench_plugins.ours.sigreg import Sigreg
    from amrbench_plugins.ours.swish import Swish
    from amrbench_plugins.ours.task_aligned import Confidence, Iou, TaskAligned
    from amrbench_plugins.ours.temporal_difference import TemporalDifference
    from amrbench_plugins.ours.varifocal import Varifocal

    return [
        # The network (report, sections 2 and 3.4).
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
        # Its training (report, sections 3.1 to 3.3).
        Varifocal,
        IouL1,
        Sigreg,
        RandomShift,
        PeriodicAsam,
    ]
