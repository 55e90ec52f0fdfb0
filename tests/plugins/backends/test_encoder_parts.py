from __future__ import annotations

import pytest

from amrbench.errors import DataError
from amrbench.plugins import load_registry


@pytest.mark.parametrize("name", ["clap", "m2d-clap"])
def test_encoders_without_weights_say_what_can_be_done(name: str) -> None:
    part = load_registry().entry("features", name).part()
    with pytest.raises(
        DataError,
        match=rf"encoder '{name}': this version does not read its weights; .*features/<dataset>/{name}/<vid>",
    ):
        part.build()  # type: ignore[attr-defined]
