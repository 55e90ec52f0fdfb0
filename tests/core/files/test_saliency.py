import numpy as np
import pytest

from amrbench.errors import DataError
from amrbench.files.jsonl import write_rows
from amrbench.files.saliency import Saliency, read_saliency, write_saliency

ROW = {"qid": "a_1", "vid": "a", "hop": 1.0, "pred_saliency_scores": [0.5, -1]}


def refusal(path, row):
    write_rows(path, [ROW, ROW | {"qid": 2} | row])
    with pytest.raises(DataError) as refused:
        read_saliency(path)
    return str(refused.value)


def test_what_is_written_is_read_with_four_decimals(tmp_path):
    path = tmp_path / "saliency.jsonl"
    values = np.array([0.12344, -3.00006], np.float32)
    write_saliency(path, [Saliency("a", "v", 0.5, values), Saliency(7, "w", 1.0, values[:0])])
    first, second = read_saliency(path)
    assert (first.qid, first.vid, first.hop) == ("a", "v", 0.5)
    np.testing.assert_array_equal(first.values, np.array([0.1234, -3.0001], np.float32))
    assert (second.qid, second.vid, second.values.shape) == (7, "w", (0,))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (
            {"qid": 1.5},
            '"qid" is 1.5, not text or a whole number; give the query\'s id as the annotations have it.',
        ),
        ({"vid": ""}, '"vid" is blank; give the id of the recording as text.'),
        ({"hop": 0}, '"hop" is 0, not a positive number; give the seconds between two feature rows.'),
        ({"hop": True}, '"hop" is true, not a positive number; give the seconds between two feature rows.'),
        (
            {"pred_saliency_scores": [1, None]},
            '"pred_saliency_scores" holds null at position 2; give a finite number for each feature row.',
        ),
        (
            {"pred_saliency_scores": 3},
            '"pred_saliency_scores" is 3, not a list; give a finite number for each feature row.',
        ),
        ({"qid": "a_1"}, '"qid" "a_1" is already on line 1; keep one line for each.'),
    ],
)
def test_a_faulty_line_is_named_with_its_remedy(tmp_path, row, fault):
    path = tmp_path / "saliency.jsonl"
    assert refusal(path, row) == f"{path}:2: {fault}"
