"""The files that `amrbench predict` writes besides what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amrbench.errors import DataError
from amrbench.files.atomic import refuse_filled, refuse_replacing, write_text_atomic
from amrbench.files.writable_folder import refuse_missing_parent
from amrbench.pages import page
from amrbench.tools import plot_timeline
from amrbench.tools.moment_files import labels_text, refuse_used_folder, table_text, write_clips
from amrbench.tools.predict_audio import Answers
from amrbench.tools.recording_page import recording_page, recording_timelines


@dataclass(frozen=True)
class RequestedFiles:
    """Files to write, each None if it was not asked for.

    Attributes:
        html: A page with player.
        plot: A picture.
        labels: Labels of Audacity.
        table: A table with commas.
        clips: A folder for the moments as audio.
    """

    html: Path | None = None
    plot: Path | None = None
    labels: Path | None = None
    table: Path | None = None
    clips: Path | None = None

    def refuse_unwritable(self, sources: Sequence[Path]) -> None:
        """Raise DataError or RunError if a file cannot be written, before a long recording is read.

        One that is a folder, a source, or another of these files, counts as well, and so do labels and a
        table that are there already: people correct them by hand.

        Args:
            sources: All files that are read.
        """
        self._refuse_same(sources)
        if self.html is not None:
            page.refuse_unwritable(self.html)
        if self.plot is not None:
            plot_timeline.refuse_unwritable(self.plot)
        for option, path in (("--labels", self.labels), ("--csv", self.table)):
            if path is not None:
                refuse_missing_parent(path)
                refuse_filled(path, option)
        if self.clips is not None:
            refuse_used_folder(self.clips)

    def _refuse_same(self, sources: Sequence[Path]) -> None:
        first: dict[Path, str] = {}
        for option, path in self._files().items():
            if path.exists() and not path.is_file():
                kind = "a folder" if path.is_dir() else "a device, a pipe or a socket"
                raise DataError(f"{path}: is {kind}. Name a file with {option}.")
            refuse_replacing(path, sources)
            _refuse_named(first, option, path)
        if self.clips is not None:
            _refuse_named(first, "--clips", self.clips)

    def _files(self) -> dict[str, Path]:
        """Return the files that are asked for by their options, without the folder for clips."""
        files = {"--html": self.html, "--plot": self.plot, "--labels": self.labels, "--csv": self.table}
        return {option: path for option, path in files.items() if path is not None}

    def write(self, results: Sequence[Answers], top: int) -> None:
        """Write the files for the best `top` moments of each query.

        Args:
            results: Of one or more models, for the same recording and queries.
            top: Moments of each query and model.

        Raises:
            DataError: A file cannot be written.
            RunError: The same, of labels or table.
        """
        if self.labels is not None:
            write_text_atomic(self.labels, labels_text(results, top))
        if self.table is not None:
            write_text_atomic(self.table, table_text(results, top))
        if self.clips is not None:
            write_clips(self.clips, results, top)
        if self.plot is not None:
            lines = list(dict.fromkeys(line for result in results for line in result.heading()))
            timelines = recording_timelines(results, top)
            plot_timeline.draw(self.plot, results[0].recording, timelines, heading=lines)
        if self.html is not None:
            recording_page(results, top).write(self.html)


def _refuse_named(first: dict[Path, str], option: str, path: Path) -> None:
    """Raise DataError if another option names a path; else add the option to those by path."""
    if (other := first.setdefault(path.resolve(), option)) != option:
        raise DataError(f"{path}: is named by {other} and {option}. Name a path for each.")
