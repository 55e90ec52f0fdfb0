import numpy as np
import pytest
import soundfile

from amrbench.errors import DataError
from amrbench.evaluation.analysis import analyze
from amrbench.evaluation.compare import METRICS
from amrbench.evaluation.systems import read_systems
from amrbench.files.annotations import write_annotations
from amrbench.functional.metrics import Metric
from amrbench.tools.report_queries import MOST_SOUNDS, scored_queries
from tests.small_world.written_runs import inside, make_run, poor_and_good, predictions, queries

PARSED = [Metric.parse(name) for name in METRICS]


@pytest.fixture
def runs(tmp_path):
    return poor_and_good(tmp_path)


def listed(sources, audio=None, **options):
    systems = read_systems(sources, PARSED, **options)
    return scored_queries(systems, analyze(sources, **options).disagreements, audio)


def recordings(folder, count, samples=4000):
    folder.mkdir()
    for number in range(count):
        soundfile.write(folder / f"v{number}.wav", np.sin(np.arange(samples)) / 2, 8000)
    return folder


def test_queries_stand_in_the_order_of_the_annotations(runs):
    own = listed(runs)
    assert [query.qid for query in own.queries] == [query.qid for query in queries()]
    assert own.orders[0].rows == range(120)
    assert [answers.name for answers in own.answers] == ["poor, seed 0", "good, seed 0"]
    assert [answers.scored for answers in own.answers] == ["poor, mean of 2 seeds", "good, mean of 2 seeds"]


def test_moments_and_values_belong_to_their_queries(runs):
    own = listed(runs)
    for answers, run in zip(own.answers, runs, strict=True):
        seeds = [predictions(queries(), *made) for made in ((0.3, 0), (0.3, 1))]
        if run.name == "good":
            seeds = [predictions(queries(), *made) for made in ((0.8, 50), (0.8, 51))]
        for row in range(len(own.queries)):
            windows = seeds[0][row].windows.tolist()
            assert [list(moment[:2]) for moment in answers.moments[row]] == windows
            hits = [100.0 * (seed[row].windows[0][0] != 40.0) for seed in seeds]
            assert answers.values[row, 0] == np.mean(hits)


def test_the_saliency_of_the_first_seed_belongs_to_its_queries(tmp_path):
    asked = queries(4)
    runs = [
        make_run(tmp_path / "with", asked=asked, saliency=True),
        make_run(tmp_path / "without", asked=asked),
    ]
    given, absent = listed(runs).answers
    for row, query in enumerate(asked):
        system = given.timeline(row)
        assert (system.saliency, system.hop) == (inside(query).tolist(), 1.0)
        assert absent.timeline(row).saliency is None


def test_moments_without_scores_have_none(tmp_path):
    asked = queries(2)
    write_annotations(tmp_path / "truth.jsonl", asked)
    (tmp_path / "a.jsonl").write_text(
        "".join(
            f'{{"qid": "{query.qid}", "vid": "{query.vid}", "pred_relevant_windows": [[1, 2]]}}\n'
            for query in asked
        )
    )
    own = listed([tmp_path / "a.jsonl"], truth=tmp_path / "truth.jsonl")
    assert own.answers[0].moments[0] == [(1.0, 2.0, None)]
    assert own.answers[0].name == "a.jsonl"


def test_there_is_an_order_for_the_best_the_worst_and_what_only_one_answers(runs):
    own = listed(runs)
    names = [order.name for order in own.orders]
    assert names[:5] == [
        "all, as in the annotations",
        "best of poor, mean of 2 seeds first",
        "worst of poor, mean of 2 seeds first",
        "best of good, mean of 2 seeds first",
        "worst of good, mean of 2 seeds first",
    ]
    apart = own.orders[
        names.index("only one answers (R1@0.5): good, mean of 2 seeds or poor, mean of 2 seeds")
    ]
    difference = own.answers[1].values[:, 0] - own.answers[0].values[:, 0]
    assert set(apart.rows) == set(np.flatnonzero(np.abs(difference) > 50).tolist())
    assert len(apart.rows) > 10


def test_at_most_twenty_queries_have_sound_those_of_the_orders_first(runs, tmp_path):
    own = listed(runs, recordings(tmp_path / "audio", 40))
    assert len(own.media) == MOST_SOUNDS == 20
    first = {order.rows[0] for order in own.orders[1:]}
    assert first <= own.media.keys()
    row = next(iter(own.media))
    assert own.media[row].audio.kind == "audio/mpeg"
    assert own.media[row].spectrogram.kind == "image/png"


def test_queries_about_one_recording_share_its_sound(runs, tmp_path):
    own = listed(runs, recordings(tmp_path / "audio", 1))
    assert sorted(own.media) == [0, 1, 2]
    assert len({id(media) for media in own.media.values()}) == 1


def test_a_folder_without_recordings_of_the_queries_is_refused(runs, tmp_path):
    (tmp_path / "audio").mkdir()
    with pytest.raises(DataError) as error:
        listed(runs, tmp_path / "audio")
    assert str(error.value) == (
        f"{tmp_path / 'audio'}: there is no recording of these queries, e.g. none for 'v0'. Give the "
        "folder with files that have the ids of the recordings as names."
    )
