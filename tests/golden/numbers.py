"""What the shipped recipes give under a small protocol: hashes of their tensors, and their metrics.

`python -m tests.golden.numbers` writes `numbers.json` anew. Numbers change only on purpose, and the change
log says so. One machine gives the same bits every time; other processors round differently, so a file made
elsewhere is compared within a tolerance.
"""

import hashlib
import json
import platform
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file

from amrbench.discovery import load_registry
from amrbench.experiment.run import Settings, run_all
from amrbench.registry import Entry, Origin, Registry
from tests.golden.shortened import Shortened

FILE = Path(__file__).with_name("numbers.json")
PROTOCOL = Path(__file__).with_name("small.yaml")
RECIPES = ("cgdetr", "sliding-window", "ours1", "ours2", "ours3", "ours4")


def registry():
    shipped = load_registry()
    entries = [shipped.entry(slot, use) for slot in shipped.slots() for use in shipped.names(slot)]
    return Registry([*entries, Entry(Shortened, Origin("tests"))])


def processor():
    """Return what decides how sums are rounded."""
    model = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model" in line
    ]
    return [platform.machine(), torch.backends.cpu.get_cpu_capability(), torch.__version__, *model[:2]]


def tensors_in(file):
    """Return a hash of the tensors of a weights file and their norm; names and order play no part."""
    tensors = load_file(file).values()
    contents = [f"{tuple(one.shape)} {one.dtype}".encode() + one.numpy().tobytes() for one in tensors]
    digests = sorted(hashlib.sha256(content).hexdigest() for content in contents)
    norm = torch.stack([tensor.double().square().sum() for tensor in tensors]).sum().sqrt()
    return {"sha256": hashlib.sha256("".join(digests).encode()).hexdigest(), "norm": float(norm)}


def numbers(folder):
    """Run all recipes and return what they gave."""
    settings = Settings(out=folder / "runs", cache=folder / "cache")
    runs = run_all(RECIPES, PROTOCOL, registry=registry(), settings=settings)
    return {
        "processor": processor(),
        "recipes": {name: of_run(run, folder) for name, run in zip(RECIPES, runs, strict=True)},
    }


def of_run(run, folder):
    stages = {
        stage.stage: tensors_in(
            folder / "cache" / "stages" / stage.key / f"weights.{next(iter(stage.selected))}.safetensors"
        )
        for stage in run.result.stages
    }
    soups = {file.stem: tensors_in(file) for file in sorted(run.folder.glob("*.safetensors"))}
    return {
        "stages": stages,
        "soups": soups,
        "metrics": {row.member: dict(row.metrics) for row in run.result.rows},
    }


def main():
    with TemporaryDirectory() as folder:
        recorded = numbers(Path(folder))
    text = json.dumps(recorded, indent=1) + "\n"
    sys.stdout.write("unchanged\n" if FILE.is_file() and FILE.read_text() == text else "changed\n")
    FILE.write_text(text)


if __name__ == "__main__":
    main()
