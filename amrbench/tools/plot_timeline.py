"""`amrbench predict --plot`: a picture of a recording and its predicted moments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amrbench.data.audio import AudioFile
from amrbench.errors import DataError
from amrbench.files.atomic import atomic_path

_COLUMNS = 1200
_FFT = 2048
_FLOOR = 1e-5


def spectrogram(file: AudioFile, columns: int = _COLUMNS) -> NDArray[np.float32]:
    """Return decibels (1025 bins, columns) of a recording at evenly spaced positions.

    Of a recording of any length, `columns` times 2048 samples are read, so sounds between them are not shown.
    """
    columns = min(columns, max(1, file.samples // (_FFT // 4)))
    starts = np.linspace(0, max(0, file.samples - _FFT), columns).astype(int)
    window = np.hanning(_FFT).astype(np.float32)
    magnitudes = np.empty((_FFT // 2 + 1, columns), np.float32)
    for column, start in enumerate(starts):
        samples = file.read(int(start), int(start) + _FFT)
        magnitudes[:, column] = np.abs(np.fft.rfft(np.pad(samples, (0, _FFT - len(samples))) * window))
    return 20 * np.log10(np.maximum(magnitudes, _FLOOR)).astype(np.float32)


def draw(
    path: Path,
    file: AudioFile,
    rows: Sequence[tuple[str, NDArray[np.float64], NDArray[np.float32] | None]],
    *,
    heading: Sequence[str],
    hop: float,
) -> None:
    """Write a picture: the spectrogram, and below it the saliency and the moments of each query.

    Args:
        path: A .png, .pdf or .svg file.
        file: The recording.
        rows: Query, moments (n, 3) best first, and saliency (T,) of each; better moments are darker.
        heading: Lines above the picture.
        hop: Seconds between two saliency values.

    Raises:
        DataError: matplotlib is not installed, or the picture cannot be written.
    """
    refuse_unwritable(path)
    new_figure, canvas = _matplotlib()
    figure = new_figure(figsize=(11, 2.6 + 1.1 * len(rows)), layout="constrained")
    canvas(figure)
    axes = figure.subplots(1 + len(rows), 1, sharex=True, height_ratios=[2, *[1] * len(rows)], squeeze=False)
    top = axes[0, 0]
    extent = (0, file.seconds, 0, file.rate / 2000)
    top.imshow(spectrogram(file), origin="lower", aspect="auto", extent=extent, cmap="magma")
    top.set_ylabel("kHz")
    top.set_title("\n".join(heading), fontsize=8, loc="left", parse_math=False)
    for axis, (query, moments, saliency) in zip(axes[1:, 0], rows, strict=True):
        _draw_query(axis, query, moments, saliency, hop)
    axes[-1, 0].set_xlabel("seconds")
    axes[-1, 0].set_xlim(0, file.seconds)
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
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {str(path.parent)!r}. Make it, or choose another path.")


def _form(path: Path) -> str:
    return path.suffix.removeprefix(".").lower()


def _draw_query(
    axis: Any,
    query: str,
    moments: NDArray[np.float64],
    saliency: NDArray[np.float32] | None,
    hop: float,
) -> None:
    for rank, (start, end, score) in enumerate(moments):
        axis.axvspan(start, end, alpha=max(0.1, 0.6 / (1 + rank)), color="tab:blue", linewidth=0)
        axis.text(start, 1.02 - 0.16 * (rank % 4), f"{rank + 1}: {score:.2f}", fontsize=7, va="top")
    if saliency is not None:
        low, high = float(saliency.min()), float(saliency.max())
        scaled = (saliency - low) / max(high - low, _FLOOR)
        axis.step((np.arange(len(scaled)) + 0.5) * hop, scaled, where="mid", color="tab:orange", linewidth=1)
    axis.set_ylim(0, 1.05)
    axis.set_yticks([])
    label = query if len(query) <= 24 else f"{query[:23]}…"
    axis.set_ylabel(label, rotation=0, ha="right", fontsize=8, parse_math=False)  # "$" is not a formula.


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError(
            "a picture needs the package matplotlib. Install it with 'pip install amrbench[plot]'."
        ) from error
    return Figure, FigureCanvasAgg
