"""Published files of encoders: which paths count, and how their content is hashed."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from amrbench.discovery import load_registry
from amrbench.errors import DataError
from amrbench_plugins.backends.model_files import file_hash, refuse_missing_transformers


def present(name: str) -> list[bool]:
    part = load_registry().entry("features", name).part()
    return [file.present for file in part.required_files()]  # type: ignore[attr-defined]


def test_only_the_file_itself_counts_as_present(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    (tmp_path / "clap" / "CLAP_weights_2023.pth").mkdir(parents=True)
    (tmp_path / "laion-clap" / "larger_clap_general").mkdir(parents=True)
    assert present("clap")[0] is False
    assert present("laion-clap") == [False]
    (tmp_path / "laion-clap" / "model.safetensors").touch()
    assert present("laion-clap") == [True]
    (tmp_path / "clap" / "CLAP_weights_2023.pth").rmdir()
    (tmp_path / "clap" / "CLAP_weights_2023.pth").touch()
    assert present("clap")[0] is True


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc" * 1_000_000)
    assert file_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    with pytest.raises(DataError) as error:
        file_hash(tmp_path / "none")
    assert str(error.value) == f"{tmp_path}/none: cannot be read (No such file or directory). Check the path."


@pytest.mark.parametrize("encoder", ["aisfx-minilm", "clap", "m2d-clap", "laion-clap"])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, encoder: str) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DataError) as error:
        refuse_missing_transformers(encoder)
    assert str(error.value) == (
        f"encoder {encoder!r} needs the package transformers. Install it with "
        f"'pip install amrbench[{encoder}]'."
    )
