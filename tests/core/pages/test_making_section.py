from amrbench.evaluation.result import PartRecord, RecipeRecord, Row, SplitRecord
from amrbench.pages.making_section import ReportedRun, making_section
from tests.core.pages.read_page import HOSTILE, Elements
from tests.core.pages.test_training_section import stage
from tests.small_world.written_runs import made_up_result


def section_of(folder):
    (folder / "recipe.yaml").write_text(f"name: toy\nabout: {HOSTILE}\n")
    (folder / "protocol.yaml").write_bytes(b"name: tiny\nabout: caf\xe9\n")
    split = SplitRecord(
        uses=("train", "select"),
        dataset="events",
        version=3,
        split="train",
        encoder="one-hot",
        fingerprint="f",
        recordings=7,
        queries=21,
    )
    part = PartRecord(
        slot="loss", use="edges", version=2, plugin="hello", distribution="hello", distribution_version="1.2"
    )
    row = Row(member="seed 0", kind="seed", split="test", queries=1, metrics={"mAP": 1.0})
    result = made_up_result(
        "toy",
        (row,),
        features="mini",
        stages=(stage("toy finetune, seed 0", "a key", ""),),
        data=(split,),
        parts=(part,),
    )
    recipe = RecipeRecord(name="toy", options={}, replaced=("model.width: 32 -> 16",))
    run = ReportedRun("toy", folder, result.model_copy(update={"recipe": recipe}))
    return Elements(making_section([run]).html())


def test_recipe_and_protocol_stand_there_as_they_were_given(tmp_path):
    recipe, protocol = (text for _, text in section_of(tmp_path).named("pre"))
    assert recipe == f"name: toy\nabout: {HOSTILE}\n"
    assert protocol == "name: tiny\nabout: caf\N{REPLACEMENT CHARACTER}\n"


def test_what_was_replaced_and_the_hash_are_named(tmp_path):
    texts = [text for _, text in section_of(tmp_path).named("p")]
    assert texts == [
        f"Folder {tmp_path.name}, hash toy.",
        "The protocol replaces model.width: 32 -> 16.",
    ]


def test_stages_data_parts_and_versions_are_listed(tmp_path):
    elements = section_of(tmp_path)
    titles = [text for _, text in elements.named("caption")]
    assert titles == [
        "toy: stages",
        "toy: data",
        "toy: parts",
        "toy: versions and what decides the last bits",
    ]
    cells = [text for _, text in elements.named("td")]
    assert {"2 (decoder)", "a key", "events", "21", "edges", "hello 1.2", "float32"} <= set(cells)
