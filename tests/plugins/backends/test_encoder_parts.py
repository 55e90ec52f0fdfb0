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


@pytest.mark.parametrize(
    ("name", "count"),
    # The audio side of M2D-CLAP has 89.04 million weights, BERT-base without its pooler 108.9 million.
    [("clap", None), ("m2d-clap", 197_937_410), ("mini-clap", None), ("mini-clap-wide", None)],
)
def test_sizes_are_known_without_weights(name: str, count: int | None) -> None:
    found = load_registry().entry("features", name).part().parameters()  # type: ignore[attr-defined]
    assert found > 10_000
    assert count is None or abs(found - count) < 1_000_000
