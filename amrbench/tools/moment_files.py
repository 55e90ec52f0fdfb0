"""`amrbench predict --labels, --csv, --clips`: the moments of a recording as files for other programs."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from amrbench.data.audio import AudioFile
from amrbench.data.recording_files import without_suffix
from amrbench.errors import DataError
from amrbench.experiment.finished_run import slug
from amrbench.files.atomic import atomic_path, free_name
from amrbench.files.audacity_labels import audacity_labels_text
from amrbench.files.writable_folder import refuse_unwritable
from amrbench.tools.predict_audio import Answer, Answers, system_names

_COLUMNS = (
    *("vid", "query", "start", "end", "duration", "rank", "score", "above_random"),
    *("model", "run", "protocol", "stand_ins"),
)
_LONGEST_WORDS = 40
_LONGEST_FOLDER = 100


def labels_text(results: Sequence[Answers], top: int) -> str:
    """Return the best `top` moments of each query as labels of Audacity; the text of a label is the sentence.

    With several models, the name of the model follows the sentence.
    """
    names = system_names(results)
    return audacity_labels_text(
        (start, end, answer.query if len(results) == 1 else f"{answer.query} ({name})")
        for result, name in zip(results, names, strict=True)
        for answer in result.answers
        for start, end, _ in answer.moments[:top].tolist()
    )


def table_text(results: Sequence[Answers], top: int) -> str:
    """Return the best `top` moments of each query as a table with commas, which `data convert` reads too."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for result, name in zip(results, system_names(results), strict=True):
        about = {key: result.finished.about()[key] for key in ("run", "protocol", "stand_ins")}
        vid = without_suffix(result.recording.path.name)
        recording = {"vid": vid, "duration": round(result.recording.seconds, 3)}
        for answer in result.answers:
            above = "" if answer.above is None else round(answer.above, 3)
            for rank, (start, end, score) in enumerate(answer.moments[:top].tolist(), start=1):
                moment = {
                    "start": round(start, 3),
                    "end": round(end, 3),
                    "rank": rank,
                    "score": round(score, 4),
                }
                own = {"query": answer.query, "above_random": above, "model": name}
                writer.writerow({**recording, **moment, **own, **about})
    return text.getvalue()


def write_clips(folder: Path, results: Sequence[Answers], top: int) -> int:
    """Write the best `top` moments of each query as WAV files of 16 bit, mono; return their number.

    Args:
        folder: See `refuse_used_folder`.
        results: Of one or more models, whose names are those of folders inside if they are several.
        top: Moments of each query.

    Raises:
        DataError: A file cannot be written.
    """
    count = 0
    for result, name in zip(results, system_names(results), strict=True):
        # Slugs of two names may be the same, e.g. those of "a/x" and "a-x".
        inner = folder if len(results) == 1 else free_name(folder / slug(name)[:_LONGEST_FOLDER])
        inner.mkdir(parents=True, exist_ok=True)
        # In the order of time, because some formats are decoded from their beginning.
        for file_name, start, end in sorted(_clips(result.answers, top), key=itemgetter(1)):
            _write_clip(inner / file_name, result.recording, start, end)
            count += 1
    return count


def refuse_used_folder(folder: Path) -> None:
    """Make a folder for clips, unless it is there and empty, so that none is taken for one of these moments.

    Raises:
        DataError: There is something in it.
        RunError: It cannot be made or written to.
    """
    refuse_unwritable(folder, "the clips", "name another folder with --clips")
    if any(folder.iterdir()):
        raise DataError(f"{folder}: holds files already. Name a new or empty folder with --clips.")


def file_words(text: str) -> str:
    """Return the beginning of a sentence for the name of a file, with hyphens; it may be empty.

    >>> file_words("A dog: barks/../twice")
    'a-dog-barks-twice'
    """
    plain = unicodedata.normalize("NFC", text).casefold()
    return re.sub(r"[\W_]+", "-", plain)[:_LONGEST_WORDS].strip("-")


def _clips(answers: Sequence[Answer], top: int) -> Iterator[tuple[str, float, float]]:
    """Yield name, start and end of each clip; no name is there twice."""
    for number, answer in enumerate(answers, start=1):
        for rank, (start, end, _) in enumerate(answer.moments[:top].tolist(), start=1):
            minutes, seconds = divmod(int(start), 60)
            parts = (f"{number:02}", file_words(answer.query), f"{rank}", f"{minutes}m{seconds:02}s")
            yield "-".join(part for part in parts if part) + ".wav", start, end


def _write_clip(path: Path, recording: AudioFile, start: float, end: float) -> None:
    import soundfile

    samples = recording.read(round(start * recording.rate), round(end * recording.rate))
    try:
        with atomic_path(path) as part:
            soundfile.write(part, np.clip(samples, -1, 1), recording.rate, format="WAV", subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise DataError(f"{path}: cannot be written ({error}). Check the folder and the disk.") from error
