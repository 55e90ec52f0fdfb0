"""Files in the layout of the published ones, and the encoder that is read from them."""

from __future__ import annotations

import pytest

from amrbench_plugins.backends.aisfx_minilm.encoder import load
from tests.plugins.backends.published import aisfx_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return aisfx_files(tmp_path_factory.mktemp("aisfx"))


@pytest.fixture(scope="module")
def encoder(files):
    return load(*files, "sentence")
