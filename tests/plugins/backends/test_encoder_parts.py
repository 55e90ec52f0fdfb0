from __future__ import annotations

from pathlib import Path

import pytest

from amrbench.errors import DataError
from amrbench.plugins import load_registry


@pytest.mark.parametrize(
    ("name", "home"), [("clap", "Zenodo 8378278"), ("m2d-clap", r"release v0\.5\.0 of nttcslab/m2d")]
)
def test_encoders_without_weights_say_what_can_be_done(
    name: str, home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMRBENCH_MODELS", str(tmp_path))
    backend = load_registry().entry("features", name).part().build()  # type: ignore[attr-defined]
    assert (backend.audio_width, backend.text_width, backend.hop) == (768, 768, 1.0)
    with pytest.raises(
        DataError, match=rf"weights of {name}: {tmp_path}/{name}/.* Published at {home}.* Put it"
    ):
        backend.fingerprint()
