from __future__ import annotations

import os
from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.files.folders import (
    CACHE_VARIABLE,
    DATA_VARIABLE,
    MODELS_VARIABLE,
    cache_folder,
    data_folder,
    models_folder,
    path_of,
)


def test_the_variable_chooses_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, "there")
    assert cache_folder() == tmp_path / "there"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, "~/mine")
    assert cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize("value", [None, "", " "])
def test_without_the_variable_the_cache_is_that_of_the_user(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(CACHE_VARIABLE, value)
    assert cache_folder().name == "amrbench"
    assert cache_folder().is_absolute()


def test_weights_are_in_the_data_folder_unless_a_variable_chooses_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    assert data_folder() == tmp_path / "data"
    assert models_folder() == tmp_path / "data" / "models"
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "weights"))
    assert models_folder() == tmp_path / "weights"


def test_the_folder_of_an_unknown_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError) as refused:
        path_of("~castella/audio")
    assert str(refused.value) == (
        "'~castella/audio': there is no user 'castella', so this path is not known. Write ~/castella/audio "
        "for one in your own folder."
    )
    monkeypatch.setenv(DATA_VARIABLE, "~castella")
    with pytest.raises(DataError) as refused:
        data_folder()
    assert str(refused.value) == (
        "AMRBENCH_DATA='~castella': there is no user 'castella', so this path is not known. Write ~/castella "
        "for one in your own folder."
    )


def test_the_own_folder_of_a_user_without_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # As for a number that is no user's.
    with pytest.raises(DataError) as refused:
        path_of("~/audio")
    assert str(refused.value) == (
        "'~/audio': your own folder is not known. Set HOME, or write the path without ~."
    )
