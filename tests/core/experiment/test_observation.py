import re

import pytest

from amrbench.errors import PluginError, RunError
from amrbench.experiment.observation import observing
from amrbench.experiment.run import run_all
from amrbench.slots.observers import ObserverPart
from amrbench.training.log import read_epochs
from amrbench.training.progress_bars import NULL_REPORTER
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import Recorder, changed, run_in, settings_in, what_runs_left, write_yaml

SEEN = []


class Keeper:
    """Keeps what it is shown in `SEEN`."""

    def begin(self, runs):
        SEEN.append(("begin", runs))

    def epoch(self, epoch):
        SEEN.append(("epoch", epoch))

    def end(self, run, rows):
        SEEN.append(("end", run, rows))

    def close(self):
        SEEN.append(("close",))


class Keeps(ObserverPart):
    """An observer that keeps everything."""

    use = "keeps"

    def build(self):
        return Keeper()


class Failing(Keeper):
    """Fails at one of its methods."""

    def __init__(self, at):
        self.at = at

    def begin(self, runs):
        self.fail("begin")

    def epoch(self, epoch):
        self.fail("epoch")

    def end(self, run, rows):
        self.fail("end")

    def close(self):
        self.fail("close")

    def fail(self, now):
        if now == self.at:
            raise ValueError("no connection")


class Fails(ObserverPart):
    """An observer that fails."""

    use = "fails"
    at: str = "epoch"

    def build(self):
        return Failing(self.at)


@pytest.fixture(autouse=True)
def _nothing_seen():
    SEEN.clear()


def seen(kind):
    return [entry[1:] for entry in SEEN if entry[0] == kind]


def epochs_of(kind="epoch"):
    return [(own.stage, own.epoch) for (own,) in seen(kind)]


@pytest.fixture
def folder(toy_folder):
    write_yaml(toy_folder / "toy.yaml", RECIPE)
    return toy_folder


def test_observers_see_the_run_its_epochs_and_its_table(folder):
    recorder = Recorder()
    run = run_in(folder, observers=(Keeps(),), reporter=recorder)
    kinds = [entry[0] for entry in SEEN]
    assert kinds == ["begin", *["epoch"] * (len(kinds) - 3), "end", "close"]
    ((begun,),) = seen("begin")
    assert (begun[0].name, begun[0].folder) == (run.folder.name, run.folder)
    assert (begun[0].recipe, begun[0].protocol) == ("toy", "tiny")
    assert begun[0].options == run.result.recipe.options
    assert begun[0].stages == tuple(stage.stage for stage in run.result.stages)
    assert epochs_of() == recorder.epochs
    assert {stage for stage, _ in recorder.epochs} == set(begun[0].stages)
    ((ended, rows),) = seen("end")
    assert ended == begun[0]
    assert [(row.member, row.split, row.metrics) for row in rows] == [
        (row.member, row.split, row.metrics) for row in run.result.rows
    ]


def test_epochs_are_those_of_the_logs(folder):
    run = run_in(folder, observers=(Keeps(),))
    for stage in run.result.stages:
        logged = read_epochs(folder / "cache" / "stages" / stage.key)
        shown = [own for (own,) in seen("epoch") if own.stage == stage.stage]
        assert [(own.losses, own.val, own.epoch) for own in shown] == [
            (own.losses, own.val, own.epoch) for own in logged
        ]
        assert {(own.epochs, own.runs) for own in shown} == {(len(logged), (run.folder.name,))}


def test_stages_that_worker_processes_train_are_seen_too(folder, toy_folder):
    run = run_in(folder, observers=(Keeps(),), jobs=2)
    expected = [(stage.stage, number) for stage in run.result.stages for number in range(1, stage.epochs + 1)]
    assert sorted(epochs_of()) == sorted(expected)


def test_observers_change_no_number(folder, new_toy_folder):
    run_in(folder, observers=(Keeps(), Keeps()))
    other = new_toy_folder()
    run_in(other)
    assert what_runs_left(folder) == what_runs_left(other)


def test_a_finished_run_is_shown_without_epochs(folder):
    run_in(folder)
    run_in(folder, observers=(Keeps(),))
    assert [entry[0] for entry in SEEN] == ["begin", "end", "close"]


def test_a_stage_of_several_recipes_is_seen_once_with_all_their_runs(folder):
    write_yaml(folder / "soup.yaml", changed(RECIPE, name="soup", soup="mean"))
    write_yaml(folder / "tiny.yaml", changed(PROTOCOL, against=["soup"]))
    run = run_in(folder, observers=(Keeps(),))
    names = {run.folder.name, run.against[0].folder.name}
    assert {frozenset(own.runs) for (own,) in seen("epoch")} == {frozenset(names)}
    assert len(epochs_of()) == len(set(epochs_of()))
    assert {begun.name for begun in seen("begin")[0][0]} == names
    assert [ended.name for ended, _ in seen("end")][-1] == run.folder.name


def test_a_recipe_that_is_given_twice_is_seen_once(folder):
    files = [folder / "toy.yaml"] * 2
    settings = settings_in(folder, observers=(Keeps(),))
    one, two = run_all(files, folder / "tiny.yaml", registry=REGISTRY, settings=settings)
    assert one.folder == two.folder
    assert [ended.name for ended, _ in seen("end")] == [one.folder.name]


@pytest.mark.parametrize("at", ["begin", "epoch", "end", "close"])
def test_a_failing_observer_ends_the_run_with_its_name_and_line(folder, at):
    with pytest.raises(PluginError) as failure:
        run_in(folder, observers=(Fails(at=at), Keeps()))
    text = str(failure.value)
    assert "the observer part 'fails' fails: ValueError: no connection\n" in text
    assert re.search(r"test_observation.py, line \d+, in fail: raise ValueError", text)
    assert seen("close") or at == "close", "the others are closed"


def test_what_a_failing_observer_stopped_goes_on_without_it(folder, new_toy_folder):
    with pytest.raises(PluginError):
        run_in(folder, observers=(Fails(at="epoch"),))
    run_in(folder)
    other = new_toy_folder()
    run_in(other)
    assert what_runs_left(folder) == what_runs_left(other)


def test_observers_are_closed_when_training_fails(folder):
    write_yaml(folder / "tiny.yaml", "no protocol")
    with pytest.raises(Exception, match="tiny"):
        run_in(folder, observers=(Keeps(),))
    assert SEEN == [("close",)]


def test_an_error_of_amrbench_stays_what_it_is():
    class Missing(ObserverPart):
        """An observer whose package is missing."""

        use = "missing"

        def build(self):
            raise RunError("install it")

    with pytest.raises(RunError, match="install it"), observing([Missing()], NULL_REPORTER):
        pass
