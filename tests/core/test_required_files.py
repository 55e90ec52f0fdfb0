from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.required_files import Published, RequiredFile, missing_files, refuse_missing


def required(what: str, *, present: bool = False, size: str = "1 GB") -> RequiredFile:
    return RequiredFile(what, Path("here") / what, present, Published("Zenodo 1", size), "Put it there.")


def test_the_text_names_content_path_publication_and_remedy():
    assert required("weights").text() == "weights: here/weights. Published at Zenodo 1 (1 GB). Put it there."
    assert (
        required("weights", size="").text() == "weights: here/weights. Published at Zenodo 1. Put it there."
    )


def test_each_missing_file_is_listed_once():
    files = [required("a"), required("b", present=True), required("a"), required("c")]
    assert missing_files(files) == [required("a"), required("c")]
    with pytest.raises(DataError) as error:
        refuse_missing("castella train", files)
    assert str(error.value).splitlines() == [
        "castella train needs files that are missing:",
        "  a: here/a. Published at Zenodo 1 (1 GB). Put it there.",
        "  c: here/c. Published at Zenodo 1 (1 GB). Put it there.",
    ]


def test_nothing_is_raised_if_no_file_is_missing():
    refuse_missing("castella train", [required("a", present=True)])
