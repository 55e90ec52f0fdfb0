"""Data sets by name: their folders and corpora, what they need, and audio files of them."""

import json
import re
import shlex
from typing import get_args

import pytest
from pydantic import ValidationError

from amrbench.config.load import find, load_protocol, load_recipe, parse_part
from amrbench.config.protocol import Protocol
from amrbench.data.prepare import prepare
from amrbench.data.required_splits import FeatureRequest, RequiredSplits
from amrbench.errors import DataError
from amrbench.files.folders import data_folder
from amrbench.notes import collected_notes
from amrbench.slots.data import DatasetPart
from amrbench.slots.features import FeaturesPart
from amrbench.tools.check_recipe import check_recipe
from amrbench.tools.synthesize_audio import SynthesisJob, synthesize
from amrbench_plugins.datasets.parts import Castella, Procedural, PublishedDatasetPart
from amrbench_plugins.datasets.procedural.presets import PRESETS
from tests.plugins.datasets.corpora import small_corpora as corpora
from tests.plugins.datasets.corpora.small_corpora import REGISTRY, clips, five_minutes, one_minute, refusal
from tests.plugins.datasets.recorded.made_takes import collection

CLAP = FeaturesPart.model_validate("clap", context=REGISTRY)


@pytest.fixture
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
        for dataset in PublishedDatasetPart.__subclasses__()
        for split, published in dataset().dataset_folder.splits.items()
        if not published.answers
    }
    assert hidden == {("dcase2026-evaluation", "evaluation")}


def test_ones_own_files_are_a_data_set(tmp_path):
    own = part({"use": "files", "folder": str(tmp_path)})
    assert own.dataset_folder.annotations("test") == tmp_path / "test.jsonl"
    assert list(own.build().splits()) == ["train", "val", "test"]


def required_by(protocol: str, recipe: str) -> list[str]:
    rules = load_protocol(protocol, REGISTRY)
    required = RequiredSplits(load_recipe(recipe, REGISTRY), rules, find("protocol", protocol))
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
    assert required_by("castella", "cgdetr") == [
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
    assert required_by("dcase2026", "cgdetr")[-2:] == [
        "annotations of dcase2026-evaluation evaluation",
        "features clap of dcase2026-evaluation",
    ]
    file = find("protocol", "dcase2026")
    report = RequiredSplits(load_recipe("ours4", REGISTRY), protocol, file).report
    assert (report.dataset.use, report.split) == ("dcase2026-evaluation", "evaluation")


def test_a_submission_cannot_report_a_split_that_it_trains_on():
    rules = load_protocol("dcase2026", REGISTRY).model_dump(mode="json")
    rules["data"].pop("report")
    rules["splits"]["report"] = "test"
    with pytest.raises(
        ValueError, match="the split 'test' is trained on, so it cannot also be the one to report"
    ):
        Protocol.model_validate(rules, context=REGISTRY)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("protocol", ["castella", "dcase2026"])
def test_a_protocol_is_checked_at_full_size_without_data(protocol):
    rules = load_protocol(protocol, REGISTRY)
    checked = check_recipe("cgdetr", load_recipe("cgdetr", REGISTRY), rules, find("protocol", protocol))
    assert checked.parameters > 10_000_000
    assert [file.what for file in checked.missing] == required_by(protocol, "cgdetr")
    text = checked.missing[1].text()
    assert "Published at Zenodo 17129257" in text
    assert "amrbench data import clotho-moment FILES --encoder clap" in text


@pytest.mark.usefixtures("data")
def test_all_missing_files_of_a_run_are_named_at_once(tmp_path):
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


# ---------------------------------------------------------------- procedural scenes


def test_every_preset_can_be_chosen():
    assert set(get_args(Procedural.model_fields["preset"].annotation)) == set(PRESETS)
    for name, preset in PRESETS.items():
        built = Procedural(preset=name).build()
        assert {split: built.size(split) for split in built.splits()} == preset.splits


def test_other_options_have_other_fingerprints():
    parts = [Procedural(), Procedural(), Procedural(seed=1), Procedural(preset="short")]
    fingerprints = [part.build().fingerprint() for part in parts]
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 3


@pytest.mark.parametrize("options", [{"preset": "scene"}, {"seed": -1}])
def test_unknown_presets_and_seeds_are_refused(options):
    with pytest.raises(ValidationError):
        Procedural.model_validate(options)


# ---------------------------------------------------------------- mixed data sets


@pytest.mark.usefixtures("local_corpora")
def test_audio_annotations_and_manifest_are_written(tmp_path):
    for jobs in (1, 2):
        job = SynthesisJob(five_minutes(), "val", None, tmp_path / str(jobs))
        synthesize(job, jobs=jobs, report=lambda _: None)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / jobs).iterdir()} for jobs in "12")
    assert first == second
    assert sorted(first)[:2] == ["annotations.jsonl", "int40_val_00000.flac"]
    manifest = [json.loads(line) for line in first["manifest.jsonl"].decode().splitlines()]
    assert [row["vid"] for row in manifest] == [f"int40_val_{n:05d}" for n in range(3)]


def test_a_folder_without_audio_is_no_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    for name in ("demand", "wavcaps"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "captions.json").touch()
    (tmp_path / "demand" / "inner" / "ch01.wav").touch()
    assert [corpus.present for corpus in five_minutes().corpora()] == [True, False]


def test_missing_corpora_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError) as error:
        five_minutes().build().recording("train", 0)
    lines = str(error.value).splitlines()
    assert lines[0] == "data set 'intermediate300' needs files that are missing:"
    assert lines[1] == (
        f"  corpus DEMAND: {tmp_path}/demand. Published at Zenodo 1227121 (about 9 GB for 18 environments). "
        "Put a copy there ($AMRBENCH_DATA chooses the folder of data), or name its folder in the protocol."
    )
    with pytest.raises(DataError, match="corpus Walking-Tours: "):
        one_minute().build().size("val")


def test_the_protocols_train_on_it_before_fine_tuning():
    for name in ("castella", "dcase2026"):
        assert load_protocol(name, REGISTRY).data.midtrain.use == "intermediate300"


@pytest.mark.usefixtures("local_corpora")
def test_unknown_splits_and_impossible_counts_are_refused(tmp_path):
    for dataset, message in (
        (five_minutes(), "data set 'intermediate300' has no split 'tset'. Splits: train, val."),
        (one_minute(), "data set 'clotho-moment60' has no split 'tset'. Did you mean 'test'? Splits: train, "
        "val, test."),
    ):  # fmt: skip
        with pytest.raises(DataError) as error:
            synthesize(SynthesisJob(dataset, "tset", None, tmp_path / "new"), report=lambda _: None)
        assert str(error.value) == message
    assert refusal(five_minutes(queries=[99, 8]).build().recording, "train", 0) == (
        "99 queries do not fit into 8 clips with 1 to 5 events each. Change 'clips' or 'queries'."
    )


@pytest.mark.usefixtures("local_corpora")
def test_a_split_without_sounds_is_refused(tmp_path):
    (tmp_path / "ids.txt").write_text("\n".join(str(1000 + number) for number in range(60)))
    part = five_minutes(subsets=["SoundBible"], exclude=[str(tmp_path / "ids.txt")])
    with collected_notes():
        assert refusal(part.build().fingerprint) == (
            "intermediate300: WavCaps has no sound for train. Use more of its subsets."
        )


def test_a_damaged_source_is_named_and_not_replaced(tmp_path, monkeypatch):
    corpora.wavcaps(tmp_path / "wavcaps", 20)
    corpora.demand(tmp_path / "demand")
    monkeypatch.setenv("AMRBENCH_DATA", str(tmp_path))
    for path in (tmp_path / "wavcaps").rglob("*.wav"):
        path.write_bytes(path.read_bytes()[:-99])
    with pytest.raises(DataError, match=r"wavcaps/AudioSet_SL/Y\d+\.wav: truncated"):
        clips(five_minutes(subsets=["AudioSet_SL"]), "train")


def test_takes_that_are_missing_are_named_with_where_free_ones_are(data):
    dataset = part("recorded").build()
    assert [dataset.size(split) for split in dataset.splits()] == [160, 40, 160]
    assert refusal(dataset.recording, "train", 0).splitlines() == [
        "data set 'recorded' needs files that are missing:",
        f"  takes and sounds.yaml: {data}/recorded. Published at packages of Debian, which docs/recorded.md "
        "names. Put them there ($AMRBENCH_DATA chooses the folder of data), or name their folder in the "
        "protocol.",
    ]


def test_takes_are_found_in_the_folder_of_data_or_where_the_protocol_says(data, tmp_path):
    made = collection(tmp_path / "takes")
    elsewhere = part({"use": "recorded", "folder": str(made), "rate": 8000})
    assert elsewhere.required_files("train", CLAP)[0].present
    assert not part("recorded").required_files("train", CLAP)[0].present
    data.mkdir()
    made.rename(data / "recorded")
    dataset = part({"use": "recorded", "rate": 8000}).build()
    assert dataset.recording("test", 2).vid == "recorded_scenes-small_test_0002"


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("text", ["clap", "m2d-clap", "{use: m2d-clap, text: tokens}", "laion-clap"])
def test_the_remedy_for_missing_features_names_the_encoder_that_makes_the_very_file(text):
    encoder = parse_part(text, FeaturesPart, REGISTRY, called="--encoder")
    folder = Castella().dataset_folder
    _, missing = folder.required_files("train", encoder)
    [argument] = re.findall(r"--encoder (\S+|\"[^\"]+\")'", missing.remedy)
    named = parse_part(shlex.split(argument)[0], FeaturesPart, REGISTRY, called="--encoder")
    assert folder.feature_file(named) == missing.path
