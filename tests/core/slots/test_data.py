from __future__ import annotations

import pytest

from amrbench.errors import DataError
from amrbench.slots.data import refuse_unknown_split


def test_an_unknown_split_is_refused_with_the_known_ones() -> None:
    refuse_unknown_split("toy", "train", ["train", "test"])
    with pytest.raises(DataError) as error:
        refuse_unknown_split("toy", "tain", ["train", "test"])
    assert str(error.value) == (
        "data set 'toy' has no split 'tain'. Did you mean 'train'? Splits: train, test."
    )
    with pytest.raises(DataError, match=r"data set 'toy' has no split 'a'. Splits: none.$"):
        refuse_unknown_split("toy", "a", [])
