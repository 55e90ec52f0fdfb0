"""The readers of the package: a command for each, and the files that are changed before it is called."""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation import containers
from tests.mutation.isolation import Outcome, call_all
from tests.mutation.mutants import mutate

AT_ONCE = 25
"""Cases that are prepared together and run in one process."""
CHECKPOINT = (
    *("predict-checkpoint", "--checkpoint", "checkpoints/zip.ckpt", "--features", "checkpoints/features"),
    *("--annotations", "checkpoints/queries.jsonl", "-o", "out.jsonl"),
)
OLD_CHECKPOINT = tuple(word.replace("zip.ckpt", "old.ckpt") for word in CHECKPOINT)
CHECK = ("check", "recipe.yaml", "--protocol", "protocol.yaml")
DETECTOR = ("check", "detector.yaml", "--protocol", "protocol.yaml")
STUDY = ("check", "study.yaml", "--protocol", "protocol.yaml")
DRY_RUN = ("run", "recipe.yaml", "--protocol", "protocol.yaml", "--dry-run", "--out", "elsewhere")
PREDICTIONS = "runs/tiny/predictions/seed-0.test.jsonl"
TRUTH = "runs/tiny/annotations.test.jsonl"
SCORE = ("score", PREDICTIONS, "--truth", TRUTH, "--by", "kind")
FUSE = ("fuse", "scores/0.jsonl", "scores/1.jsonl", "-o", "fused.jsonl")
COMPARE_FILES = ("compare", "runs/tiny/predictions/seed-1.test.jsonl", PREDICTIONS, "--truth", TRUTH)
COMPARE = ("compare", "runs/tiny", "runs/tiny")
PREDICT = ("predict", "own/audio/test0.wav", "rain", "--run", "runs/tiny")
SEED = (*PREDICT, "--member", "seed 0")
PACK = ("pack", "runs/tiny", "--label", "Lee_KAIST_task6_1", "-o", "lee.zip", "--not-a-submission")
RERUN = ("run", "recipe.yaml", "--protocol", "protocol.yaml", "--jobs", "1", "--out", "elsewhere")
VERIFY = ("data", "verify", "own")
EXTRACT = ("data", "extract", "sounds", "--encoder", "mini-clap", "-o", "sounds.h5")


@dataclass(frozen=True)
class Reader:
    """A reader, by what it reads.

    Attributes:
        name: Of the reader.
        share: Of the cases, in parts.
        cases: Patterns of files, one of which is changed, each with the commands that read it.
        inside: Changes what is inside a container, if the files are containers.
        alone: Whether the other files that the pattern matches are removed.
    """

    name: str
    share: int
    cases: tuple[tuple[str, tuple[Sequence[str], ...]], ...]
    inside: Callable[[Path, random.Random], str] | None = None
    alone: bool = False


def _convert(name: str, *options: str) -> tuple[str, tuple[Sequence[str], ...]]:
    return f"tables/{name}", (("data", "convert", f"tables/{name}", "-o", "out.jsonl", *options),)


def _import(name: str) -> tuple[str, tuple[Sequence[str], ...]]:
    command = ("data", "import", "own", f"published/{name}", "--encoder", "mini-clap-wide")
    return f"published/{name}", (command, (*command, "--partial"))


_LOOSE = ("data", "import", "own", "published/loose", "--encoder", "mini-clap-wide")
_AUDIO = ("--audio", "own/audio")
READERS = (
    Reader("recipes", 12, (("recipe.yaml", (CHECK, DRY_RUN)), ("detector.yaml", (DETECTOR,)))),
    Reader("protocols", 10, (("protocol.yaml", (CHECK, DRY_RUN)),)),
    Reader("studies", 6, (("study.yaml", (STUDY,)), ("fuller.yaml", (STUDY,)))),
    Reader("meta files", 2, (("meta.yaml", ((*PACK, "--template", "meta.yaml"),)),)),
    Reader(
        "annotations",
        10,
        (
            (TRUTH, (SCORE, COMPARE_FILES, PACK)),
            ("own/*.jsonl", (VERIFY, DRY_RUN)),
            ("own/train.jsonl", (RERUN,)),
        ),
    ),
    Reader(
        "predictions",
        10,
        ((PREDICTIONS, (SCORE, COMPARE_FILES, COMPARE, PACK)), ("scores/*.jsonl", (FUSE,))),
    ),
    Reader(
        "tables",
        12,
        (
            *(_convert("labels.csv"), _convert("labels.tsv"), _convert("castella.json")),
            *(_convert("test0.txt", *_AUDIO), _convert("test1.txt", *_AUDIO)),
            ("tables/test?.txt", (("data", "convert", "tables", "-o", "out.jsonl", *_AUDIO),)),
        ),
    ),
    Reader(
        "npz",
        8,
        (
            ("checkpoints/features/clap*/*.npz", (CHECKPOINT,)),
            ("published/loose/clap*/*.npz", (_LOOSE, (*_LOOSE, "--partial"))),
        ),
        inside=containers.change_npz,
    ),
    Reader("HDF5", 8, (("own/features/*.h5", (VERIFY, RERUN)),), inside=containers.change_hdf5),
    Reader(
        "safetensors",
        6,
        (("runs/tiny/*.safetensors", (PREDICT,)), ("cache/stages/*/*.safetensors", (SEED, RERUN))),
        inside=containers.change_safetensors,
    ),
    Reader(
        "run folders",
        10,
        (
            ("runs/tiny/result.json", (COMPARE, PREDICT, SEED, PACK)),
            ("runs/tiny/*.yaml", (PREDICT, COMPARE)),
            ("cache/stages/*/*.json*", (RERUN, SEED)),
        ),
    ),
    Reader(
        "checkpoints",
        8,
        (("checkpoints/zip.ckpt", (CHECKPOINT,)), ("checkpoints/old.ckpt", (OLD_CHECKPOINT,))),
        inside=containers.change_checkpoint,
    ),
    Reader("audio", 12, (("sounds/*", (EXTRACT,)), ("own/audio/test0.wav", (PREDICT,))), alone=True),
    Reader(
        "archives",
        8,
        tuple(_import(f"features.{suffix}") for suffix in ("zip", "tar", "tar.gz", "tar.xz")),
        inside=containers.change_archive,
    ),
)


def numbers_of(reader: Reader, cases: int) -> range:
    """Return the numbers of a reader's share of the cases."""
    return range(-(-cases * reader.share // sum(reader.share for reader in READERS)))


def refused_without_a_change(
    reader: Reader, commands: Sequence[Sequence[str]], inputs: Path, folder: Path
) -> list[str]:
    """Return what commands say that do not accept unchanged inputs; there should be none."""
    calls = [(folder / str(number), command) for number, command in enumerate(commands)]
    for copy, _ in calls:
        shutil.copytree(inputs, copy)
        if reader.alone:
            _keep_alone(sorted(copy.glob(reader.cases[0][0])), 0)
    outcomes = call_all(calls)
    shutil.rmtree(folder)
    return [
        f"amrbench {' '.join(command)}: {outcome.text}"
        for command, outcome in zip(commands, outcomes, strict=True)
        if outcome.code
    ]


def _keep_alone(files: Sequence[Path], index: int) -> None:
    for number, file in enumerate(files):
        if number != index:
            file.unlink()


def run_cases(
    reader: Reader, seeds: Sequence[str], inputs: Path, folder: Path
) -> Iterator[tuple[str, Path, Outcome]]:
    """Change one file of a copy of the inputs for each seed, and call a command that reads it.

    Args:
        reader: Of the file.
        seeds: Of all choices, one for each case.
        inputs: See `make_inputs`.
        folder: Of the copies; does not exist.

    Yields:
        What was changed and what was called, the copy, and how it ended.
    """
    for start in range(0, len(seeds), AT_ONCE):
        cases = []
        for number, seed in enumerate(seeds[start : start + AT_ONCE]):
            copy = folder / str(number)
            shutil.copytree(inputs, copy)
            cases.append((copy, *_change(reader, copy, random.Random(seed))))
        outcomes = call_all([(copy, command) for copy, command, _ in cases])
        for (copy, command, change), outcome in zip(cases, outcomes, strict=True):
            yield f"{change}; amrbench {' '.join(command)}", copy, outcome
        shutil.rmtree(folder)


def _change(reader: Reader, folder: Path, rng: random.Random) -> tuple[Sequence[str], str]:
    """Change a file in a folder; return a command that reads it, and what was changed."""
    pattern, commands = rng.choice(reader.cases)
    files = sorted(folder.glob(pattern))
    file, command = rng.choice(files), rng.choice(commands)
    if reader.alone:
        _keep_alone(files, files.index(file))
    if reader.inside and rng.random() < 0.5:
        change = reader.inside(file, rng)
    else:
        change, content = mutate(file.read_bytes(), file.name, rng)
        file.write_bytes(content)
    return command, f"{file.relative_to(folder)}: {change}"
