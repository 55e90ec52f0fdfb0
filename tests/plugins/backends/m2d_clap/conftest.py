"""Files in the layout of the published ones, and the encoder that is read from them."""

from __future__ import annotations

import pytest

from amrbench_plugins.backends.m2d_clap.encoder import load
from tests.plugins.backends.published import m2d_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return m2d_files(tmp_path_factory.mktemp("m2d"))


@pytest.fixture(scope="module")
def encoder(files):
    return load(*files, "sentence")
