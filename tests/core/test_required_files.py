from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.required_files import Published, RequiredFile, missing_files, refuse_missing


def need(what: str, *, found: bool = False, size: str = "1 GB") -> RequiredFile:
    return RequiredFile(what, Path("here") / what, found, Published("Zenodo 1", size), "Put it there.")


def test_a_need_says_what_where_and_what_to_do():
    assert need("weights").text() == "weights: here/weights. Published at Zenodo 1 (1 GB). Put it there."
    assert need("weights", size="").text() == "weights: here/weights. Published at Zenodo 1. Put it there."


def test_what_is_missing_is_told_once():
    needs = [need("a"), need("b", found=True), need("a"), need("c")]
    assert missing_files(needs) == [need("a"), need("c")]
    with pytest.raises(DataError) as error:
        refuse_missing("castella train", needs)
    assert str(error.value).splitlines() == [
        "castella train needs what is not here:",
        "  a: here/a. Published at Zenodo 1 (1 GB). Put it there.",
        "  c: here/c. Published at Zenodo 1 (1 GB). Put it there.",
    ]


def test_nothing_is_said_when_all_is_there():
    refuse_missing("castella train", [need("a", found=True)])
