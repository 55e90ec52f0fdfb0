import numpy as np
import pytest

from amrbench.files.annotations import write_annotations
from amrbench.tools.random_sentences import COUNT, LEAST, fraction_below, random_sentences
from amrbench.types import Query


def annotated(path, sentences):
    queries = [Query(str(index), text, "a", 10.0, ()) for index, text in enumerate(sentences)]
    write_annotations(path, queries)
    return path


def test_sentences_are_drawn_once_and_never_those_that_are_asked(tmp_path):
    known = [f"sound {number}" for number in range(100)]
    file = annotated(tmp_path / "a.jsonl", [*known, *known[:10]])
    drawn = random_sentences(file, ["SOUND 3 ", "another"])
    assert len(drawn) == len(set(drawn)) == COUNT
    assert set(drawn) <= set(known) - {"sound 3"}
    assert drawn != tuple(sorted(drawn))
    assert random_sentences(file, ["SOUND 3 "]) == drawn


def test_from_few_sentences_none_are_drawn(tmp_path):
    known = [f"sound {number}" for number in range(LEAST)]
    file = annotated(tmp_path / "a.jsonl", known)
    assert len(random_sentences(file, [])) == LEAST
    assert random_sentences(file, ["sound 3"]) == ()


@pytest.mark.parametrize("seed", range(5))
def test_the_fraction_counts_equal_scores_half(seed):
    rng = np.random.default_rng(seed)
    others = rng.integers(0, 5, 30).astype(float)
    by_hand = sum(1.0 if other < 2 else 0.5 if other == 2 else 0.0 for other in others) / 30
    assert fraction_below(2.0, others) == by_hand
    assert fraction_below(-np.inf, [-np.inf] * 30) == 0.5, "no moments at all are no decision"


def test_few_scores_decide_nothing():
    assert fraction_below(1.0, [0.0] * (LEAST - 1)) is None
