"""Commands that only read, list and score do not wait for torch and other large packages to be imported."""

import json
import subprocess
import sys

import pytest

LARGE = ("torch", "scipy", "h5py", "soundfile")
CALLS = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from amrbench.cli import main

large, *calls = json.loads(sys.argv[1])
known = set()
for arguments in calls:
    sys.argv, text = ["amrbench", *arguments], io.StringIO()
    code = 0
    with redirect_stdout(text), redirect_stderr(text):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    loaded = {name for name in large if name in sys.modules}
    print(json.dumps([code, sorted(loaded - known), text.getvalue() if code else ""]))
    known |= loaded
"""


@pytest.fixture
def calls(tmp_path):
    """Return calls of all commands that must stay light, with files that they can read."""
    query = {"qid": "1", "query": "x", "duration": 60, "vid": "a", "relevant_windows": [[10, 20]]}
    answer = {"qid": "1", "vid": "a", "pred_relevant_windows": [[10, 18, 0.9]]}
    truth, one, two = (str(tmp_path / f"{name}.jsonl") for name in ("truth", "one", "two"))
    for path, row in ((truth, query), (one, answer), (two, answer)):
        (tmp_path / path).write_text(json.dumps(row))
    return [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["data", "--help"],
        ["score", one, "--truth", truth],
        ["compare", one, two, "--truth", truth],
        ["analyze", one, two, "--truth", truth],
        ["report", one, two, "--truth", truth, "-o", str(tmp_path / "report.html")],
        ["runs", "--out", str(tmp_path / "runs")],
        ["fuse", one, two, "-o", str(tmp_path / "fused.jsonl")],
        ["parts"],
        ["parts", "optimizer", "adamw"],
        ["schema", "recipe"],
        ["schema", "protocol"],
        ["schema", "result"],
        ["data", "status", "--protocol", "castella"],
    ]


def test_they_import_no_large_package(calls):
    script = [sys.executable, "-c", CALLS, json.dumps([LARGE, *calls])]
    out = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    ends = [json.loads(line) for line in out.splitlines()]
    assert len(ends) == len(calls)
    assert [(call, end) for call, end in zip(calls, ends, strict=True) if end != [0, [], ""]] == []
