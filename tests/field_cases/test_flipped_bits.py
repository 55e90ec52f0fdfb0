"""Every flipped bit in the files of finished stages and runs is found before it changes a figure.

A figure is made of these files in three ways, and each is asked here: the command is given again and uses
finished stages and runs; a finished run is read, to compare, pack or predict; one of its files is scored.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from amrbench.data.feature_dataset import DatasetCache
from amrbench.errors import DataError, RunError
from amrbench.evaluation.ensemble import fuse_files
from amrbench.evaluation.result import read_result
from amrbench.evaluation.score_files import score_files
from amrbench.evaluation.systems import prediction_files
from amrbench.experiment.finished_run import open_run
from amrbench.experiment.plan import PlannedRun
from amrbench.experiment.predictions import PredictionWriter
from amrbench.experiment.run import Runner, Settings
from amrbench.notes import collected_notes
from amrbench.training.progress_bars import NULL_REPORTER
from amrbench.training.stage_queue import missing_stages
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import changed, plan, prepare_splits, run_in, settings_in, write_yaml

FLIPS = 20
"""In each file."""
NO_FIGURE = {"times.jsonl"}
"""Times and hosts alone."""


@dataclass(frozen=True)
class Finished:
    """A run with two seeds and a soup, and its stages."""

    planned: PlannedRun
    settings: Settings
    run: Path

    @property
    def store(self) -> Path:
        return self.settings.cache_folder / "stages"

    def stage_files(self) -> list[Path]:
        return sorted(file for file in self.store.glob("*/*") if file.name not in NO_FIGURE)

    def run_files(self) -> list[Path]:
        return sorted(file for file in self.run.rglob("*") if file.is_file())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    sources = prepare_splits(folder / "cache")
    recipe, protocol = changed(RECIPE, soup="mean"), changed(PROTOCOL, seeds=2)
    write_yaml(folder / "toy.yaml", recipe)
    write_yaml(folder / "tiny.yaml", protocol)
    run = run_in(folder)
    return Finished(plan(sources, recipe, protocol), settings_in(folder), run.folder)


def flipped(files: list[Path]) -> Iterator[Path]:
    """Flip one bit of a file after the other, at random; yield the file while it is flipped."""
    rng = random.Random(15)
    for file in files:
        content = file.read_bytes()
        for _ in range(FLIPS):
            changed_content = bytearray(content)
            changed_content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            file.write_bytes(changed_content)
            yield file
            for aside in finished_folders(file):
                aside.rename(aside.with_name(aside.name.removesuffix(".damaged")))
            file.write_bytes(content)


def finished_folders(file: Path) -> list[Path]:
    """Return the folder that was set aside because of a file, if any."""
    above = (folder.with_name(f"{folder.name}.damaged") for folder in islice(file.parents, 2))
    return [folder for folder in above if folder.exists()]


def test_at_least_five_hundred_bits_are_flipped_over_all_files(finished):
    names = {file.name for file in finished.stage_files()}
    assert names == {"weights.span.safetensors", "last.safetensors", "log.jsonl", "done.json", "SHA256SUMS"}
    names = {file.relative_to(finished.run).as_posix() for file in finished.run_files()}
    assert names > {"result.json", "recipe.yaml", "protocol.yaml", "annotations.test.jsonl", "SHA256SUMS"}
    assert names > {"predictions/seed-0.test.jsonl", "predictions/soup.test.jsonl", "soup.safetensors"}
    assert names > {f"logs/{name}.jsonl" for name in ("1-toy-pretrain", "2-toy-finetune-seed-1")}
    assert FLIPS * (len(finished.stage_files()) + len(finished.run_files())) >= 500


def test_a_command_that_is_given_again_uses_no_stage_that_was_changed(finished):
    chains, store = finished.planned.chains, finished.store
    assert missing_stages(chains, store) == []
    for file in flipped(finished.stage_files()):
        with collected_notes() as notes:
            missing = missing_stages(chains, store)
        assert [spec.key for spec in missing] == [file.parent.name], file
        assert "is trained again: " in notes[0]
    assert missing_stages(chains, store) == []


def test_a_stage_that_changes_while_others_are_trained_is_not_scored(finished, tmp_path):
    for _ in flipped(finished.stage_files()):
        datasets = DatasetCache()
        writer = PredictionWriter(finished.planned, tmp_path, finished.store, datasets, NULL_REPORTER)
        with pytest.raises(RunError, match=r"was trained. Give the same command again; it trains the stage"):
            writer.write_all()
    assert not list(tmp_path.iterdir())


def test_a_command_that_is_given_again_uses_no_run_that_was_changed(finished):
    settings = finished.settings
    assert Runner(REGISTRY, settings, NULL_REPORTER).is_finished(finished.planned)
    for file in flipped(finished.run_files()):
        with pytest.warns(UserWarning, match="is made again: "):
            assert not Runner(REGISTRY, settings, NULL_REPORTER).is_finished(finished.planned), file
    assert Runner(REGISTRY, settings, NULL_REPORTER).is_finished(finished.planned)


def test_no_run_that_was_changed_is_read(finished):
    open_run(finished.run, REGISTRY, cache=finished.settings.cache_folder)
    for file in flipped(finished.run_files()):
        for read in (read_result, prediction_files, lambda run: open_run(run, REGISTRY)):
            with pytest.raises(RunError, match=r" since the run wrote it. Move the folder away"):
                read(finished.run)
        assert file.exists()


def test_no_weights_that_were_changed_predict(finished):
    cache = finished.settings.cache_folder
    for member, key in read_result(finished.run).models.items():
        run = open_run(finished.run, REGISTRY, member=member, cache=cache)
        for _ in flipped([file for file in finished.stage_files() if file.parent.name == key]):
            with pytest.raises(RunError, match=r" since it was written. Run the recipe again"):
                assert run.criterion
        assert run.criterion


def test_no_file_of_a_run_that_was_changed_is_scored_or_fused(finished, tmp_path):
    truth = finished.run / "annotations.test.jsonl"
    files = sorted((finished.run / "predictions").iterdir())
    for file in flipped([truth, *files]):
        predictions = files[0] if file == truth else file
        with pytest.raises(DataError, match=r"test.jsonl: has changed since it was written, as .*SHA256SUMS"):
            score_files(predictions, truth)
        if file != truth:
            with pytest.raises(DataError, match="has changed since it was written"):
                fuse_files([files[0], file], tmp_path / "fused.jsonl")
    assert score_files(files[0], truth).scores.queries


def test_a_file_of_a_run_that_was_changed_on_purpose_is_scored_elsewhere(finished, tmp_path):
    truth = finished.run / "annotations.test.jsonl"
    copy = tmp_path / "seed-0.test.jsonl"
    copy.write_text((finished.run / "predictions" / "seed-0.test.jsonl").read_text().replace("0.1", "0.2"))
    assert score_files(copy, truth).scores.queries
