"""Event files for TensorBoard, with the writer of the package tensorboard: no TensorFlow, no torch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amrbench.slots.observers import ObservedEpoch, ObservedRow, ObservedRun
from amrbench_plugins.observers.values import epoch_values, imported, markdown, plain_name, row_values


class EventFiles:
    """See `TensorBoard`. A file is opened when the first value is written, and flushed after each epoch."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.writers: dict[Path, Any] = {}
        self.writer_type = imported(
            "tensorboard.summary.writer.event_file_writer", "tensorboard"
        ).EventFileWriter
        self.protos = {
            name: imported(f"tensorboard.compat.proto.{name}_pb2", "tensorboard")
            for name in ("event", "summary", "tensor", "types")
        }

    def begin(self, runs: Sequence[ObservedRun]) -> None:
        """Write what each run is."""
        for run in runs:
            about = {
                "recipe": run.recipe,
                "protocol": f"{run.protocol}: {run.about}",
                "stages": "; ".join(run.stages),
                "options": json.dumps(run.options),
            }
            self._write(self.folder / plain_name(run.name), 0, [self._text("run", markdown(about))])

    def epoch(self, epoch: ObservedEpoch) -> None:
        """Write losses and metrics of an epoch; a stage of several runs stands below the first of them."""
        folder = self.folder / plain_name(epoch.runs[0]) / plain_name(epoch.stage)
        self._write_scalars(folder, epoch.epoch, epoch_values(epoch))

    def end(self, run: ObservedRun, rows: Sequence[ObservedRow]) -> None:
        """Write the metrics of the table."""
        for row in rows:
            self._write_scalars(self.folder / plain_name(run.name), 0, row_values(row))

    def close(self) -> None:
        """Close all files."""
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()

    def _write_scalars(self, folder: Path, step: int, values: Mapping[str, float]) -> None:
        value = self.protos["summary"].Summary.Value
        self._write(folder, step, [value(tag=tag, simple_value=number) for tag, number in values.items()])

    def _text(self, tag: str, text: str) -> Any:
        """Return a text as the plugin "text" of TensorBoard reads it."""
        summary = self.protos["summary"]
        tensor = self.protos["tensor"].TensorProto(
            dtype=self.protos["types"].DT_STRING, string_val=[text.encode()]
        )
        plugin = summary.SummaryMetadata.PluginData(plugin_name="text")
        metadata = summary.SummaryMetadata(plugin_data=plugin)
        return summary.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)

    def _write(self, folder: Path, step: int, values: Sequence[Any]) -> None:
        if not values:
            return
        if folder not in self.writers:
            folder.mkdir(parents=True, exist_ok=True)
            self.writers[folder] = self.writer_type(str(folder))
        summary = self.protos["summary"].Summary(value=values)
        event = self.protos["event"].Event(wall_time=time.time(), step=step, summary=summary)
        self.writers[folder].add_event(event)
        self.writers[folder].flush()
