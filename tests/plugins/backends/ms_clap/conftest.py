"""Files in the layout of the published ones, and the encoder that is read from them."""

from __future__ import annotations

import pytest

from amrbench_plugins.backends.ms_clap.encoder import load
from tests.plugins.backends.published import clap_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return clap_files(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def encoder(files):
    return load(*files)
