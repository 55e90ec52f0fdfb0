import sys
from types import SimpleNamespace

import pytest

from amrbench.errors import RunError
from amrbench.testing.observers import RUNS, rows_of, seen_epochs
from amrbench_plugins.observers.mlflow import metric_name, params_of
from amrbench_plugins.observers.parts import MLflow


def test_names_have_only_what_mlflow_allows():
    assert metric_name("val/decoder/R1@0.7") == "val/decoder/R1-at-0.7"
    assert metric_name("test/mAP/seed 0, queries shuffled") == "test/mAP/seed 0- queries shuffled"


def test_options_are_flat_parameters():
    assert dict(params_of(RUNS[0].options)) == {
        "model.use": "toy",
        "model.width": "8",
        "soup": "None",
        "ranking.0": "clip",
        "ranking.1": "round",
    }
    assert len(dict(params_of({"long": "x" * 1000}))["long"]) == 500


class FakeMLflow:
    """Answers as MLflow does until one of its calls, and fails from then on."""

    entities = SimpleNamespace(Param=lambda *values: values, Metric=lambda *values: values)

    def __init__(self, failing_at):
        self.failing_at, self.failed, self.calls = failing_at, False, []

    def MlflowClient(self, tracking_uri):  # noqa: N802 - as in MLflow
        return self

    def answer(self, name, value=None):
        self.calls.append(name)
        self.failed = self.failed or name == self.failing_at
        if self.failed:
            raise ValueError("API request failed:\n Name or service not known")
        return value

    def get_experiment_by_name(self, name):
        return self.answer("get_experiment_by_name")

    def create_experiment(self, name):
        return self.answer("create_experiment", "1")

    def create_run(self, experiment, *, run_name, tags):
        info = SimpleNamespace(run_id=f"id of {run_name}")
        return self.answer("create_run", SimpleNamespace(info=info))

    def log_batch(self, run, *, params=(), metrics=()):
        self.answer("log_batch of metrics" if metrics else "log_batch of params")

    def set_terminated(self, run, status="FINISHED"):
        self.answer("set_terminated")


@pytest.mark.parametrize(
    "call",
    [
        "get_experiment_by_name",
        "create_experiment",
        "create_run",
        "log_batch of params",
        "log_batch of metrics",
        "set_terminated",
    ],
)
def test_a_server_that_fails_is_named_and_not_asked_again(monkeypatch, call):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    fake = FakeMLflow(call)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.entities", fake.entities)
    observer = MLflow(uri="https://down.example.org").build()
    with pytest.raises(RunError) as refused:
        show(observer)
    assert str(refused.value) == (
        "the observer mlflow cannot log to uri 'https://down.example.org', experiment 'amrbench' (API "
        "request failed: Name or service not known). Check that the server answers, or that the database may "
        "be written. Finished stages are kept: the same command, also without this observer, goes on."
    )
    asked = len(fake.calls)
    observer.close()
    assert len(fake.calls) == asked


def show(observer):
    observer.begin(RUNS)
    for epoch in seen_epochs(2):
        observer.epoch(epoch)
    observer.end(RUNS[0], rows_of(2)[0])


def test_mlflow_has_a_run_for_each_run_and_each_stage(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    part = MLflow(uri=f"sqlite:///{tmp_path / 'm.db'}", experiment="tests")
    observer = part.build()
    observer.begin(RUNS)
    for epoch in seen_epochs(2):
        observer.epoch(epoch)
    observer.end(RUNS[0], rows_of(2)[0])
    observer.close()
    client = mlflow.MlflowClient(tracking_uri=part.uri)
    number = client.get_experiment_by_name("tests").experiment_id
    runs = {own.info.run_name: own for own in client.search_runs([number])}
    assert set(runs) == {*(run.name for run in RUNS), *RUNS[0].stages}
    one, two = (runs[run.name] for run in RUNS)
    assert (one.info.status, two.info.status) == ("FINISHED", "KILLED")
    assert one.data.metrics == {"test/R1-at-0.7/seed 0": 10.0, "test/R1-at-0.7/mean": 10.0}
    assert one.data.params["model.width"] == "8"
    assert one.data.tags["about"] == RUNS[0].about
    stage = runs["one finetune, seed 0"]
    assert (stage.info.status, stage.data.tags["mlflow.parentRunId"]) == ("FINISHED", one.info.run_id)
    history = client.get_metric_history(stage.info.run_id, "loss/spans")
    assert [(own.step, own.value) for own in history] == [(1, 1.5), (2, 0.75)]
