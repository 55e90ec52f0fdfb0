"""The components of the report "Advanced Audio Moment Retrieval via CG-DETR", one file each."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.hookspecs import hookimpl
from amrbench.part import Part


@hookimpl
def amrbench_parts() -> Sequence[type[Part]]:
    """Return the parts of this plugin."""
    from amrbench_plugins.ours import head_parts as heads
    from amrbench_plugins.ours import network_parts as network
    from amrbench_plugins.ours import training_parts as training

    return [
        network.Fourier,
        network.Coordinates,
        network.TemporalDifference,
        network.GatedDifference,
        network.Registers,
        network.Modality,
        network.Swish,
        network.Learned,
        network.Film,
        network.Percentiles,
        network.BimodalGaussian,
        network.Gaussian,
        network.FixedBimodalGaussian,
        heads.TaskAligned,
        heads.TaskAlignedRanking,
        heads.Confidence,
        heads.Iou,
        training.Varifocal,
        training.IouL1,
        training.Sigreg,
        training.RandomShift,
        training.CyclicShift,
        training.PeriodicAsam,
        training.PeriodicAsamFreshDropout,
    ]
