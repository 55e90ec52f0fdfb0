import pytest

from amrbench_plugins.datasets.corpora import clotho_moment
from tests.plugins.datasets.corpora import small_corpora as corpora


@pytest.fixture(scope="session")
def corpora_folder(tmp_path_factory):
    """Small copies of all corpora."""
    folder = tmp_path_factory.mktemp("corpora")
    corpora.wavcaps(folder / "wavcaps")
    corpora.demand(folder / "demand")
    corpora.clotho(folder / "clotho")
    corpora.tours(folder / "walking-tours", sum(clotho_moment.TOURS.values(), ()))
    return folder


@pytest.fixture
def local_corpora(corpora_folder, monkeypatch):
    """Data sets find the small copies."""
    monkeypatch.setenv("AMRBENCH_DATA", str(corpora_folder))
