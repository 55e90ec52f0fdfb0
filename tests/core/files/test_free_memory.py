import math

import pytest

from amrbench.files.free_memory import free_memory

GIB = 2**30
V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"


@pytest.fixture
def write(tmp_path):
    """Return a function that writes files of a made-up system, by their paths."""

    def write(**texts):
        for name, text in texts.items():
            (file := tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return write


def machine(available):
    return {"proc/meminfo": f"MemTotal:       99999999 kB\nMemAvailable:   {available * 2**20} kB\n"}


def group(folder, limit, usage, files, *, version):
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}
    total = "total_inactive_file" if version == 1 else "inactive_file"
    return {
        f"{folder}/{names[version][0]}": f"{limit}\n",
        f"{folder}/{names[version][1]}": f"{usage}\n",
        f"{folder}/memory.stat": f"anon 1\n{total} {files}\n",
    }


def test_without_control_groups_it_is_that_of_the_machine(write):
    assert free_memory(write(**machine(8))) == 8 * GIB


def test_elsewhere_it_is_not_known(tmp_path):
    assert free_memory(tmp_path) == math.inf


@pytest.mark.parametrize("version", [1, 2])
def test_copies_of_files_count_as_free(write, version):
    mount, line = (V1, "4:cpu,memory:/job/step") if version == 1 else (V2, "0::/job/step")
    limited = group(f"{mount}/job/step", 4 * GIB, 3 * GIB, 2 * GIB, version=version)
    root = write(**machine(8), **limited, **{"proc/self/cgroup": f"1:name=systemd:/\n{line}\n"})
    assert free_memory(root) == 3 * GIB


def test_the_smallest_of_all_levels_counts(write):
    files = group(f"{V2}/job", 2 * GIB, GIB, 0, version=2)
    files |= group(f"{V2}/job/step", "max", GIB, 0, version=2)
    assert free_memory(write(**machine(8), **files, **{"proc/self/cgroup": "0::/job/step\n"})) == GIB


def test_a_container_may_see_its_own_group_as_the_root(write):
    files = group(V1, 2 * GIB, 3 * GIB, 0, version=1)
    root = write(**machine(8), **files, **{"proc/self/cgroup": "4:memory:/docker/abc\n"})
    assert free_memory(root) == 0, "more is used than allowed"


def test_this_machine_has_some():
    assert free_memory() > 0
