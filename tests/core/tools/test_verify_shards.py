from dataclasses import replace

import pytest

from amrbench.files.shard_manifest import entry_of, write_manifest
from amrbench.tools.verify_shards import has_manifest, verify_shards
from tests.core.files.feature_files import written


def test_each_difference_from_the_manifest_is_a_fault(tmp_path):
    assert not has_manifest(tmp_path)
    entries = [entry_of(written(tmp_path / name).path) for name in ("a.h5", "b.h5", "c.h5")]
    write_manifest(tmp_path, entries)
    assert has_manifest(tmp_path)
    size = sum(entry.bytes for entry in entries)
    summary = f"  note  3 feature files: 12 recordings, 30 rows and {size:,} bytes of 'toy-features' (f00)"
    report = verify_shards(tmp_path)
    assert (report.faults, report.text().splitlines()) == (0, [f"{tmp_path} manifest.jsonl", summary])
    for name in ("a.h5", "c.h5"):
        (tmp_path / name).unlink()
    content = bytearray((tmp_path / "b.h5").read_bytes())
    content[-1] ^= 1
    (tmp_path / "b.h5").write_bytes(content)
    report = verify_shards(tmp_path)
    assert report.text().splitlines()[1:] == [
        summary,
        "  FAULT a feature file is missing; give the command of the extraction again: 'a.h5', 'c.h5'",
        "  FAULT a feature file has changed; give the command of the extraction again: 'b.h5'",
    ]


@pytest.mark.parametrize(
    ("content", "known"),
    [
        ('{"shard": "a.h5", "rows": 3}\n', True),
        ('{"rows": 3, "shard" : "a.h5"}\n', True),
        ('{"shard": "a.h5", "rec', True),  # Damaged, which reading it says with its line.
        ('{"vid": "a", "sounds": []}\n{"shard": "a.h5"}\n', False),
        ('{"vid": "shard"}\n', False),
        ("", False),
    ],
)
def test_a_manifest_is_known_by_its_first_line(tmp_path, content, known):
    (tmp_path / "manifest.jsonl").write_text(content)
    assert has_manifest(tmp_path) == known


def test_features_of_two_encoders_are_a_fault(tmp_path):
    entry = entry_of(written(tmp_path / "a.h5").path)
    written(tmp_path / "b.h5")
    write_manifest(tmp_path, [entry, replace(entry, shard="b.h5", fingerprint="f01")])
    (finding,) = verify_shards(tmp_path).findings["manifest.jsonl"]
    assert finding.fault
    assert finding.text.endswith("of 'toy-features' (f00) and 'toy-features' (f01); one encoder is expected")
