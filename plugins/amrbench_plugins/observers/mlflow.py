"""Runs of MLflow (https://mlflow.org), with the small package mlflow-skinny."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from amrbench.errors import RunError, as_run_error, dotted
from amrbench.slots.observers import ObservedEpoch, ObservedRow, ObservedRun
from amrbench_plugins.observers.values import epoch_values, imported, row_values

_PARENT = "mlflow.parentRunId"
_SQLITE = "sqlite:///"
_MOST_PARAMS, _LONGEST = 100, 500  # What MLflow takes at once, and as a value, in all its versions.


class MLflowRuns:
    """See `MLflow`. A run of a stage begins with its first epoch."""

    def __init__(self, uri: str, experiment: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # Read when the package is imported.
        self.mlflow, self.entities = imported("mlflow", "mlflow"), imported("mlflow.entities", "mlflow")
        if uri.startswith(_SQLITE):
            imported("sqlalchemy", "mlflow")
            uri = f"{_SQLITE}{Path(uri.removeprefix(_SQLITE)).absolute()}"
        self.uri, self.experiment = uri, experiment
        self.ids: dict[tuple[str, ...], str] = {}

    def begin(self, runs: Sequence[ObservedRun]) -> None:
        """Begin a run for each run."""
        with self._asking():
            self.client: Any = self.mlflow.MlflowClient(tracking_uri=self.uri)
            known = self.client.get_experiment_by_name(self.experiment)
            self.number = known.experiment_id if known else self.client.create_experiment(self.experiment)
        for run in runs:
            tags = {"recipe": run.recipe, "protocol": run.protocol, "about": run.about}
            self.ids[run.name,] = self._begin(run.name, tags)
            params = (self.entities.Param(*param) for param in params_of(run.options))
            while some := list(islice(params, _MOST_PARAMS)):
                with self._asking():
                    self.client.log_batch(self.ids[run.name,], params=some)

    def epoch(self, epoch: ObservedEpoch) -> None:
        """Log losses and metrics of an epoch; a stage of several runs stands below the first of them."""
        run = epoch.runs[0]
        key = run, epoch.stage
        if key not in self.ids:
            self.ids[key] = self._begin(epoch.stage, {_PARENT: self.ids[run,]})
        self._log(self.ids[key], epoch_values(epoch), epoch.epoch)

    def end(self, run: ObservedRun, rows: Sequence[ObservedRow]) -> None:
        """Log the metrics of the table, and end the run and those of its stages."""
        for row in rows:
            self._log(self.ids[run.name,], row_values(row), 0)
        with self._asking():
            for key in [key for key in self.ids if key[0] == run.name]:
                self.client.set_terminated(self.ids.pop(key))

    def close(self) -> None:
        """End what has not ended."""
        with self._asking():
            for number in self.ids.values():
                self.client.set_terminated(number, status="KILLED")
        self.ids.clear()

    def _begin(self, name: str, tags: Mapping[str, str]) -> str:
        with self._asking():
            return str(self.client.create_run(self.number, run_name=name, tags=dict(tags)).info.run_id)

    def _log(self, run: str, values: Mapping[str, float], step: int) -> None:
        now = int(1000 * time.time())
        metrics = [
            self.entities.Metric(metric_name(name), value, now, step) for name, value in values.items()
        ]
        with self._asking():
            self.client.log_batch(run, metrics=metrics)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what MLflow raises, or the database below it and its driver, into a RunError."""
        try:
            with as_run_error(
                f"the observer mlflow cannot log to uri {self.uri!r}, experiment {self.experiment!r}",
                "Check that the server answers, or that the database may be written. Finished stages are "
                "kept: the same command, also without this observer, goes on.",
                Exception,
            ):
                yield
        except RunError:
            self.ids.clear()  # Else `close` would wait for the server again.
            raise


def metric_name(name: str) -> str:
    """Return a name of a metric with what MLflow does not allow replaced.

    >>> metric_name("val/decoder/R1@0.7")
    'val/decoder/R1-at-0.7'
    """
    return re.sub(r"[^\w/ .-]", "-", name.replace("@", "-at-"))


def params_of(options: object, path: tuple[object, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield name and text of all plain values at any depth.

    >>> dict(params_of({"model": {"use": "toy"}, "ranking": ["clip"]}))
    {'model.use': 'toy', 'ranking.0': 'clip'}
    """
    if isinstance(options, Mapping):
        for name, value in options.items():
            yield from params_of(value, (*path, name))
    elif isinstance(options, list):
        for index, value in enumerate(options):
            yield from params_of(value, (*path, index))
    else:
        yield metric_name(dotted(path)), str(options)[:_LONGEST]
