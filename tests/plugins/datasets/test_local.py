"""Published data sets: their folders, what is known of them, and what the protocols that use them need."""

import pytest

from amrbench.config.load import load_protocol, load_recipe
from amrbench.config.protocol import Protocol
from amrbench.data.prepare import FeatureRequest, prepare
from amrbench.discovery import load_registry
from amrbench.errors import DataError, RecipeError
from amrbench.experiment.plan import RequiredSplits
from amrbench.files.folders import data_folder
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeaturesPart
from amrbench.tools.check_recipe import check_recipe
from amrbench_plugins.datasets.local import PARTS, Castella, Files

REGISTRY = load_registry()
CLAP = FeaturesPart.model_validate("clap", context=REGISTRY)


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def part(options):
    return DatasetPart.model_validate(options, context=REGISTRY)


@pytest.mark.parametrize(
    ("use", "splits", "queries"),
    [
        ("castella", ["train", "val", "test"], 3881),
        ("clotho-moment", ["train", "val", "test"], 44261),
        ("unav100-subset", ["test"], 100),
        ("tut2017", ["test"], 104),
        ("dcase2026-evaluation", ["evaluation"], 177),
    ],
)
def test_published_data_sets_are_in_the_folder_of_data(data, use, splits, queries):
    dataset = part(use)
    assert dataset.dataset_folder.root == data / use == data_folder() / use
    assert list(dataset.build().splits()) == splits
    assert sum(published.queries for published in dataset.dataset_folder.splits.values()) == queries
    for split in splits:
        assert all(file.published.where for file in dataset.required_files(split, CLAP))


def test_a_folder_of_its_own_changes_no_number(tmp_path):
    assert part({"use": "castella", "folder": str(tmp_path)}).dataset_folder.root == tmp_path
    assert part("castella").dataset_folder.name == "castella"


def test_only_the_evaluation_set_has_no_answers():
    hidden = {
        (dataset.use, split)
        for dataset in PARTS
        if dataset is not Files
        for split, published in dataset().dataset_folder.splits.items()
        if not published.answers
    }
    assert hidden == {("dcase2026-evaluation", "evaluation")}


def test_ones_own_files_are_a_data_set(tmp_path):
    own = part({"use": "files", "folder": str(tmp_path), "splits": {"test": "mine.jsonl"}})
    assert own.dataset_folder.annotations("test") == tmp_path / "mine.jsonl"
    assert list(part({"use": "files", "folder": "x"}).dataset_folder.splits) == ["train", "val", "test"]


def test_split_files_are_names_in_the_folder(tmp_path):
    text = PROTOCOL.replace("TARGET", "{use: files, folder: x, splits: {test: ../mine.jsonl}}")
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(
        RecipeError, match="id '../mine.jsonl' cannot be the name of a file|cannot be the name"
    ):
        load_protocol(tmp_path / "p.yaml", REGISTRY)


PROTOCOL = """name: p
data:
  pretrain: castella
  midtrain: castella
  target: TARGET
splits: {train: [train], select: val, report: test}
"""


def whats(protocol: str, recipe: str) -> list[str]:
    rules = load_protocol(protocol, REGISTRY)
    required = RequiredSplits(load_recipe(recipe, REGISTRY), rules)
    return [file.what for file in required.required_files]


def test_the_protocol_castella_trains_on_train_and_reports_test():
    protocol = load_protocol("castella", REGISTRY)
    assert protocol.seeds == 10
    assert protocol.data.target == Castella()
    assert (protocol.splits.train, protocol.splits.select, protocol.splits.report) == (
        ("train",),
        "val",
        "test",
    )
    assert protocol.budget.of(load_recipe("ours3", REGISTRY)) == load_recipe("ours3", REGISTRY), "full size"
    assert whats("castella", "cgdetr") == [
        "annotations of clotho-moment train",
        "features clap of clotho-moment",
        "annotations of clotho-moment val",
        "annotations of castella train",
        "features clap of castella",
        "annotations of castella val",
        "annotations of castella test",
    ]


def test_the_submission_trains_on_test_too_and_reports_what_it_was_not_trained_on():
    protocol = load_protocol("dcase2026", REGISTRY)
    assert protocol.seeds == 25
    assert protocol.splits.train == ("train", "test")
    assert whats("dcase2026", "cgdetr")[-2:] == [
        "annotations of dcase2026-evaluation evaluation",
        "features clap of dcase2026-evaluation",
    ]
    report = RequiredSplits(load_recipe("ours4", REGISTRY), protocol).report
    assert (report.dataset.use, report.split) == ("dcase2026-evaluation", "evaluation")


def test_a_submission_cannot_report_a_split_that_it_trains_on():
    rules = load_protocol("dcase2026", REGISTRY).model_dump(mode="json")
    rules["data"].pop("report")
    rules["splits"]["report"] = "test"
    with pytest.raises(
        ValueError, match="the split 'test' is trained on, so it cannot also be the one to report"
    ):
        Protocol.model_validate(rules, context=REGISTRY)


@pytest.mark.parametrize("protocol", ["castella", "dcase2026"])
def test_a_protocol_is_checked_at_full_size_without_data(protocol):
    rules = load_protocol(protocol, REGISTRY)
    checked = check_recipe("cgdetr", load_recipe("cgdetr", REGISTRY), rules)
    assert checked.parameters > 10_000_000
    assert [file.what for file in checked.missing] == whats(protocol, "cgdetr")
    text = checked.missing[1].text()
    assert "Published at Zenodo 17129257" in text
    assert "amrbench data import clotho-moment FILES --encoder clap" in text


def test_all_missing_files_of_a_run_are_named_at_once(data, tmp_path):
    castella, clotho = part("castella"), part("clotho-moment")
    requests = [
        FeatureRequest(castella, "train", CLAP),
        FeatureRequest(castella, "test", CLAP),
        FeatureRequest(clotho, "val", CLAP),
    ]
    with pytest.raises(DataError) as error:
        prepare(requests, cache=tmp_path, jobs=1, report=lambda _: None)
    first, *lines = str(error.value).splitlines()
    assert first == "the run needs files that are missing:"
    assert [line.split(":")[0].strip() for line in lines] == [
        "annotations of castella train",
        "features clap of castella",
        "annotations of castella test",
        "annotations of clotho-moment val",
        "features clap of clotho-moment",
    ]
    with pytest.raises(DataError, match="^castella test for clap needs files that are missing:"):
        prepare(requests[1:2], cache=tmp_path, jobs=1, report=lambda _: None)
