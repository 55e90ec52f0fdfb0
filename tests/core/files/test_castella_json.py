import json
from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.castella_json import parse_castella
from amrbench.types import Query

ENTRY = {"yid": "-x", "duration": 60, "moments": [{"local_caption": "a dog", "timestamps": [[5, 7], [1, 2]]}]}


def refusal(text):
    with pytest.raises(DataError) as error:
        list(parse_castella(Path("a.json"), text))
    return str(error.value)


def test_windows_keep_their_order():
    assert list(parse_castella(Path("a.json"), json.dumps([ENTRY]))) == [
        Query("-x_1", "a dog", "-x", 60.0, ((5.0, 7.0), (1.0, 2.0)))
    ]


def test_lines_of_json_are_named():
    assert refusal(f"{json.dumps(ENTRY)}\n{json.dumps(ENTRY)}\n") == (
        "a.json: is JSON Lines, not one JSON list as in CASTELLA. Annotations as JSON Lines need no "
        "conversion."
    )


def test_a_key_that_occurs_twice_is_refused():
    assert refusal('[{"yid": "x", "yid": "y"}]') == (
        'a.json: cannot be read as JSON (the key "yid" occurs twice). Download it again.'
    )
