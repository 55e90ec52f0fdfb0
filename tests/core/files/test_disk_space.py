from types import SimpleNamespace

import pytest

from amrbench.errors import RunError
from amrbench.files import disk_space
from amrbench.files.disk_space import refuse_full_disk


def test_room_is_needed_for_what_is_written_and_a_little_more(tmp_path, monkeypatch):
    refuse_full_disk(tmp_path, 1, "a file")
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: SimpleNamespace(free=2500 * 2**20))
    refuse_full_disk(tmp_path, 2484 * 2**20, "a file")
    with pytest.raises(RunError) as error:
        refuse_full_disk(tmp_path, 2485 * 2**20, "the stage x")
    assert str(error.value) == (
        f"{tmp_path}: 2,500 MiB are free on this disk, but the stage x needs up to 2,501 MiB. Free some "
        "space, and give the same command again; what is finished is kept."
    )
