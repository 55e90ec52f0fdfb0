import json

import numpy as np
import pytest

from amrbench.pages.page import Page
from amrbench.pages.query_list import (
    BLOCK,
    MOST_MOMENTS,
    Answers,
    QueryList,
    QueryOrder,
    RecordingMedia,
    best_and_worst,
    first_of_each,
)
from amrbench.pages.timeline import Media, Spectrogram
from amrbench.types import Query
from tests.core.pages.read_page import HOSTILE, Elements

QUERIES = [Query("a", "a dog", "v1", 60.0, ((1.0, 2.0),)), Query(7, HOSTILE, "v2", 50.0, ())]
MOMENTS = [[(float(start), start + 1.0, 0.5) for start in range(9)], []]


def listed(**options) -> QueryList:
    values = np.array([[100.0, 100 / 3], [0.0, 50.0]])
    given = {
        "queries": QUERIES,
        "answers": [
            Answers("toy, seed 0", MOMENTS, "toy, mean of 2 seeds", values),
            Answers("other", MOMENTS),
        ],
        "metrics": ["R1@0.5", "mAP"],
        "orders": [QueryOrder("all", range(2)), QueryOrder(HOSTILE, [1])],
        "media": {},
    }
    return QueryList(**given | options)


def test_values_and_orders_are_data_of_the_page():
    data = listed().data()
    assert data[BLOCK] == {
        "systems": ["toy, mean of 2 seeds"],
        "metrics": ["R1@0.5", "mAP"],
        "qids": ["a", "7"],
        "values": [[[100.0, 33.3333], [0.0, 50.0]]],
        "orders": [[0, 1], [1]],
    }
    first = data["timelines"]["timelines"][0]
    assert first["truth"] == [[1.0, 2.0]]
    assert [system["name"] for system in first["systems"]] == ["toy, seed 0", "other"]
    assert len(first["systems"][0]["moments"]) == MOST_MOMENTS
    json.dumps(data, allow_nan=False)


def test_a_truth_that_is_not_public_is_not_an_empty_one():
    answers = [Answers("other", MOMENTS)]
    data = listed(answers=answers, scored=False, metrics=()).data()
    assert [own["truth"] for own in data["timelines"]["timelines"]] == [None, None]
    assert data[BLOCK]["systems"] == data[BLOCK]["values"] == []
    assert (
        f"The first {MOST_MOMENTS} moments of other." in listed(answers=answers, scored=False).section().body
    )


def test_the_section_has_labelled_controls_and_no_markup_of_users():
    own = listed()
    html = Page("t", [], [own.section()], data=own.data()).html()
    elements = Elements(html)
    assert [text for _, text in elements.named("option")] == ["all", HOSTILE]
    assert len(elements.named("label")) == 2
    assert "alert(1)</script>" not in html
    assert "sound" not in own.section().body


def test_sound_is_shared_by_the_queries_of_a_recording_and_announced():
    media = RecordingMedia(Media(b"mp3", "audio/mpeg"), Spectrogram(b"png", "image/png", 8000.0))
    own = listed(media={1: media})
    timelines = own.data()["timelines"]
    assert [each["audio"] for each in timelines["timelines"]] == [None, 0]
    assert len(timelines["media"]) == 2
    assert "<p>1 query has sound and a spectrogram.</p>" in own.section().body
    assert "only with sound" in own.section().body


def test_best_and_worst_keep_the_order_of_equal_values():
    values = np.array([[0.0, 5.0], [0.0, 9.0], [0.0, 5.0], [0.0, 1.0]])
    best, worst = best_and_worst(Answers("a", [], "a, mean", values), 1)
    assert (best.name, best.rows) == ("best of a, mean first", [1, 0, 2, 3])
    assert (worst.name, worst.rows) == ("worst of a, mean first", [3, 0, 2, 1])
    assert best_and_worst(Answers("a", []), 1) == []


@pytest.mark.parametrize(("count", "rows"), [(9, [1, 4, 2, 3]), (2, [1, 4])])
def test_the_first_queries_of_each_order_come_first(count, rows):
    orders = [QueryOrder("x", [1, 2, 3]), QueryOrder("y", [4, 1])]
    assert first_of_each(orders, count) == rows
