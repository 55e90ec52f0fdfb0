"""`amrbench predict --plot`: a picture of a recording and its predicted moments."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amrbench.data.audio import AudioFile
from amrbench.data.mel_spectrogram import mel_of, mel_spectrogram
from amrbench.errors import DataError
from amrbench.files.atomic import atomic_path
from amrbench.files.writable_folder import refuse_missing_parent
from amrbench.pages.timeline import Timeline, TimelineSystem, saliency_scales

_HERTZ = (125, 250, 500, 1000, 2000, 4000, 8000)
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
"""Seconds between two labels of the time axis."""
_MOST_LABELS = 14
_RANKS = 4
"""Rows for the numbers of moments."""
_LEAST_RANGE = 1e-9


def draw(path: Path, file: AudioFile, timelines: Sequence[Timeline], *, heading: Sequence[str]) -> None:
    """Write a picture: the spectrogram, and below it the saliency and the moments of each query and system.

    The saliency of a system has one scale for all queries.

    Args:
        path: A .png, .pdf or .svg file.
        file: The recording.
        timelines: One for each query; better moments are darker.
        heading: Lines above the picture.

    Raises:
        DataError: matplotlib is not installed, or the picture cannot be written.
    """
    refuse_unwritable(path)
    new_figure, canvas = _matplotlib()
    rows = [(timeline, system) for timeline in timelines for system in timeline.systems]
    figure = new_figure(figsize=(11, 2.6 + 1.3 * len(rows)), layout="constrained")
    canvas(figure)
    axes = figure.subplots(1 + len(rows), 1, sharex=True, height_ratios=[2, *[1] * len(rows)], squeeze=False)
    _draw_spectrogram(axes[0, 0], file)
    axes[0, 0].set_title("\n".join(heading), fontsize=8, loc="left", parse_math=False)
    scales = saliency_scales(timelines)
    for axis, (timeline, system) in zip(axes[1:, 0], rows, strict=True):
        _draw_system(axis, system, scales.get(system.name, (0.0, 1.0)))
        lines = [system.name] if timeline.systems[0] is not system else textwrap.wrap(timeline.query, 28)
        if timeline.systems[0] is system and len(timeline.systems) > 1:
            lines.append(system.name)
        # "$" is not a formula.
        axis.set_ylabel("\n".join(lines), rotation=0, ha="right", va="center", fontsize=8, parse_math=False)
    _draw_clock(axes[-1, 0], file.seconds)
    try:
        with atomic_path(path) as part:
            figure.savefig(part, format=_form(path), dpi=120)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). Choose another path.") from error


def refuse_unwritable(path: Path) -> None:
    """Raise DataError if no picture can be written, so that it fails before a long recording is read."""
    _, canvas = _matplotlib()
    if _form(path) not in canvas.get_supported_filetypes():
        raise DataError(f"{path}: a picture cannot have this suffix. Use .png, .pdf or .svg.")
    refuse_missing_parent(path)


def clock(seconds: float) -> str:
    """Return a time of whole seconds as m:ss or h:mm:ss.

    >>> clock(65), clock(3600)
    ('1:05', '1:00:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _form(path: Path) -> str:
    return path.suffix.removeprefix(".").lower()


def _draw_spectrogram(axis: Any, file: AudioFile) -> None:
    decibels, highest = mel_spectrogram(file)
    extent = (0, file.seconds, 0, float(mel_of(highest)))
    axis.imshow(decibels, origin="lower", aspect="auto", extent=extent, cmap="magma")
    hertz = [value for value in _HERTZ if value < highest]
    axis.set_yticks([float(mel_of(value)) for value in hertz], [str(value) for value in hertz], fontsize=7)
    axis.set_ylabel("Hz (mel)", fontsize=8)


def _draw_system(axis: Any, system: TimelineSystem, scale: tuple[float, float]) -> None:
    for rank, (start, end, score) in enumerate(system.moments):
        axis.axvspan(start, end, alpha=max(0.1, 0.6 / (1 + rank)), color="tab:blue", linewidth=0)
        label = f"{rank + 1}" if score is None else f"{rank + 1}: {score:.2f}"
        axis.text(start, 1.02 - 0.16 * (rank % _RANKS), label, fontsize=7, va="top")
    if system.saliency is not None:
        low, high = scale
        scaled = (np.asarray(system.saliency) - low) / max(high - low, _LEAST_RANGE)
        edges = np.arange(len(scaled) + 1) * system.hop
        axis.stairs(scaled, edges, baseline=None, color="tab:orange", linewidth=1)
    if system.remark:
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        style = {"fontsize": 7, "ha": "right", "transform": axis.transAxes, "parse_math": False, "bbox": box}
        axis.text(0.995, 0.04, textwrap.shorten(system.remark, 130), **style)
    axis.set_ylim(0, 1.05)
    axis.set_yticks([])


def _draw_clock(axis: Any, seconds: float) -> None:
    step = next((step for step in _STEPS if seconds / step <= _MOST_LABELS), _STEPS[-1])
    ticks = [step * index for index in range(int(seconds / step) + 1)]
    axis.set_xticks(ticks, [clock(tick) for tick in ticks])
    axis.set_xlim(0, seconds)


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError(
            "a picture needs the package matplotlib. Install it with 'pip install amrbench[plot]'."
        ) from error
    return Figure, FigureCanvasAgg
