"""`amrbench data verify` for a folder of feature files with a manifest."""

from __future__ import annotations

import re
from pathlib import Path

from amrbench.files.shard_manifest import MANIFEST, read_manifest
from amrbench.tools.verify_data import Finding, VerificationReport

_KEY = re.compile(rb'"shard"\s*:')


def has_manifest(folder: Path) -> bool:
    """Whether a folder has a manifest of feature files; `data synthesize` writes others of that name."""
    try:
        with (folder / MANIFEST).open("rb") as lines:
            return bool(_KEY.search(lines.readline()))
    except OSError:
        return False


def verify_shards(folder: Path) -> VerificationReport:
    """Compare each feature file of a folder with its line in the manifest; all of them are read.

    Raises:
        DataError: The manifest is damaged.
    """
    entries = read_manifest(folder)
    faults: dict[str, list[str]] = {}
    for entry in entries:
        if fault := entry.fault_in(folder):
            faults.setdefault(fault, []).append(entry.shard)
    recordings = sum(len(entry.recordings) for entry in entries)
    encoders = sorted({f"{entry.encoder!r} ({entry.fingerprint[:12]})" for entry in entries})
    size = sum(entry.bytes for entry in entries)
    rows = sum(entry.rows for entry in entries)
    text = (
        f"{len(entries):,} feature files: {recordings:,} recordings, {rows:,} rows and {size:,} bytes of "
        f"{' and '.join(encoders)}"
    )
    findings = [Finding(text)] if len(encoders) == 1 else [Finding(f"{text}; one encoder is expected", True)]
    findings += [
        Finding(f"a feature file {fault}; give the command of the extraction again", True, tuple(names))
        for fault, names in faults.items()
    ]
    return VerificationReport(str(folder), {MANIFEST: findings})
