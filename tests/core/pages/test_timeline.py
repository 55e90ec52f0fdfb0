import json
import re
from base64 import b64decode, b64encode

import numpy as np
import pytest

from amrbench.pages.page import Page
from amrbench.pages.timeline import (
    BLOCK,
    SCRIPT,
    STYLE,
    Media,
    Spectrogram,
    Timeline,
    TimelineSystem,
    timeline_element,
    timelines_as_json,
)

SOUND = Media(b"\x00\x01\x02", "audio/mpeg")


def timeline(query="a dog barks", systems=(), **changes):
    return Timeline(
        **({"vid": "a", "query": query, "seconds": 60.0, "truth": None, "systems": systems} | changes)
    )


def test_a_timeline_is_plain_values():
    system = TimelineSystem(
        "ours", [(1.00049, 2, 0.123456), (3, 4, None)], np.array([0.5, 0.25], np.float32), 0.5, "sure"
    )
    assert timeline(systems=[system], truth=[(1, 2.0004)]).as_json({"ours": (0.25, 0.75)}) == {
        "vid": "a",
        "query": "a dog barks",
        "seconds": 60.0,
        "truth": [[1.0, 2.0]],
        "systems": [
            {
                "name": "ours",
                "moments": [[1.0, 2.0, 0.1235], [3.0, 4.0, None]],
                "saliency": b64encode(bytes([128, 0])).decode(),
                "hop": 0.5,
                "remark": "sure",
            }
        ],
    }


def test_an_unknown_truth_is_not_an_empty_one():
    assert timeline().as_json({})["truth"] is None
    assert timeline(truth=[]).as_json({})["truth"] == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_no_axis_has_are_refused(value):
    with pytest.raises(ValueError, match=f"a timeline cannot show {value}"):
        timeline(systems=[TimelineSystem("ours", [(0.0, value, 1.0)])]).as_json({})
    with pytest.raises(ValueError, match="a timeline cannot show saliency that is not finite"):
        timelines_as_json([timeline(systems=[TimelineSystem("ours", [], [0.0, value])])])


def test_queries_about_one_recording_share_its_sound():
    picture = Spectrogram(b"\x00\x01\x02", "image/png", 8000.0)
    plain = timelines_as_json(
        [
            timeline(audio=SOUND),
            timeline(audio=Media(SOUND.content, SOUND.kind), spectrogram=picture),
            timeline(),
        ]
    )
    assert plain["media"] == ["data:audio/mpeg;base64,AAEC", "data:image/png;base64,AAEC"]
    assert [own["audio"] for own in plain["timelines"]] == [0, 0, None]
    assert [own["spectrogram"] for own in plain["timelines"]] == [None, 1, None]
    assert [own["hertz"] for own in plain["timelines"]] == [None, 8000.0, None]


def test_saliency_of_a_system_has_one_scale_on_all_timelines():
    plain = timelines_as_json(
        [
            timeline(systems=[TimelineSystem("a", [], [0.5, 1.0]), TimelineSystem("b", [], [9.0])]),
            timeline(systems=[TimelineSystem("a", [], [-2.0]), TimelineSystem("b", [], [])]),
            timeline(systems=[TimelineSystem("c", [])]),
        ]
    )
    levels = [
        [system["saliency"] and [*b64decode(system["saliency"])] for system in own["systems"]]
        for own in plain["timelines"]
    ]
    # From the lowest to the highest value of each system: -2 to 1, and 9 alone.
    assert levels == [[[212, 255], [0]], [[0], ""], [None]]


def test_a_page_holds_its_timelines_and_draws_them():
    query = "</script><script>alert(1)</script>"
    block = timelines_as_json([timeline(query, [TimelineSystem(query, [(0, 1, 0.5)])], vid=query)])
    page = Page("a", [], [], styles=[STYLE], scripts=[SCRIPT], data={BLOCK: block}).html()
    assert query not in page
    (text,) = re.findall(r'<script type="application/json" id="timelines">(.*?)</script>', page)
    assert json.loads(text) == block


def test_nothing_is_loaded_from_elsewhere():
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", SCRIPT + STYLE)


def test_an_element_names_its_timeline():
    assert timeline_element(3) == '<div class="timeline" data-timeline="3"></div>'
