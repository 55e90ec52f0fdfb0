import os
from pathlib import Path

import pytest

from amrbench.files import owner
from amrbench.files.owner import Owner, number_space, this_process


@pytest.fixture
def new_space(monkeypatch):
    """Return a function that returns the space of numbers of a machine or container."""

    def space(host="gpu4", boot="b00", container="pid:[1]", folder=None):
        (folder / "sys/kernel/random").mkdir(parents=True, exist_ok=True)
        (folder / "sys/kernel/random/boot_id").write_text(f"{boot}\n")
        (folder / "self/ns").mkdir(parents=True, exist_ok=True)
        (folder / "self/ns/pid").unlink(missing_ok=True)
        (folder / "self/ns/pid").symlink_to(container)
        monkeypatch.setattr(owner, "_PROC", folder)
        monkeypatch.setattr(owner.platform, "node", lambda: host)
        return number_space.__wrapped__()

    return space


def test_numbers_of_processes_are_unique_in_a_container_on_a_host_since_its_start(new_space, tmp_path):
    spaces = [
        new_space(**options, folder=tmp_path)
        for options in ({}, {"host": "gpu5"}, {"boot": "b01"}, {"container": "pid:[2]"})
    ]
    assert len(set(spaces)) == 4
    assert new_space(folder=tmp_path) == spaces[0]


def test_a_system_without_containers_has_its_name(monkeypatch):
    monkeypatch.setattr(owner, "_PROC", Path("/nowhere"))
    assert len(number_space.__wrapped__()) == 10


def test_two_hosts_with_one_process_number_have_different_labels():
    own = this_process()
    other = Owner("gpu5", own.process, "0123456789")
    assert own.label == f"{number_space()}-{os.getpid()}"
    assert other.label == f"0123456789-{os.getpid()}"


def test_a_process_elsewhere_is_named_with_its_host():
    assert Owner("gpu5", 7, "0123456789").text() == "7 on gpu5"
    assert this_process().text() == str(os.getpid())


def test_only_of_processes_beside_this_one_is_known_whether_they_have_ended():
    ended = 2**22 + 1
    assert not this_process().has_ended()
    assert Owner(this_process().host, ended, number_space()).has_ended()
    assert not Owner(this_process().host, ended, "0123456789").has_ended()
