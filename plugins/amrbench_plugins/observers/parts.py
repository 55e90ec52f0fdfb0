"""The parts of the observers."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from amrbench.slots.observers import Observer, ObserverPart


class TensorBoard(ObserverPart):
    """Write event files for TensorBoard: a folder for each run, and one for each of its stages."""

    use = "tensorboard"

    folder: str = Field(
        "tensorboard", min_length=1, max_length=1000, description="folder to write to; made where missing"
    )

    @override
    def build(self) -> Observer:
        from amrbench_plugins.observers.tensorboard import EventFiles

        return EventFiles(self.folder)


class MLflow(ObserverPart):
    """Log to MLflow: a run for each run, and one below it for each of its stages."""

    use = "mlflow"

    uri: str = Field(
        "sqlite:///mlflow.db",
        min_length=1,
        max_length=1000,
        description="database file, or address of a tracking server",
    )
    experiment: str = Field("amrbench", min_length=1, max_length=200, description="name of the experiment")

    @override
    def build(self) -> Observer:
        from amrbench_plugins.observers.mlflow import MLflowRuns

        return MLflowRuns(self.uri, self.experiment)
