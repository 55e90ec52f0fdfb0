from pathlib import Path

from amrbench.training.stage_store import claim_file, failed_folder, unfinished_folder
from amrbench.training.store_layout import CLAIM, DONE, FAILED, UNFINISHED, store_of
from tests.small_world.runs import plan, train


def test_names_are_those_of_what_training_leaves(toy_sources, tmp_path):
    spec = plan(toy_sources).chains[0].parent
    store = store_of(tmp_path)
    assert store == Path(tmp_path / "stages")
    assert (train(spec, store) / DONE).is_file()
    assert claim_file(spec, store).name == f"{spec.key}{CLAIM}"
    assert failed_folder(spec, store).name == f"{spec.key}{FAILED}"
    assert unfinished_folder(spec, store).name.startswith(f"{spec.key}{UNFINISHED}")
