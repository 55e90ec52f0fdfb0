"""Augmentations are built once for each stage, with what the stage trains on."""

from amrbench.registry import Registry
from amrbench.slots.data import AugmentPart
from tests.small_world.parts import PARTS, RECIPE
from tests.small_world.runs import plan, train

built = []


class Watch(AugmentPart):
    """Remember what it is built with, and change nothing."""

    use = "watch"

    def build(self, recordings):
        built.append(tuple(query.qid for query in recordings.queries))
        assert len(recordings.audio_rows(0)) > 0
        assert len(recordings.word_rows(0)) > 0
        return lambda rows, query, hop, rng: (rows, query)


def test_an_augmentation_is_built_once_with_what_its_stage_trains_on(toy_sources, tmp_path):
    recipe = RECIPE | {"training": RECIPE["training"] | {"augment": ["watch"]}}
    last = plan(toy_sources, recipe, registry=Registry.of(*PARTS, Watch)).chains[0]
    assert last.stage.epochs > 1
    built.clear()
    train(last, tmp_path)
    expected = [tuple(query.qid for source in spec.train for query in source.queries) for spec in last.chain]
    assert built == expected
