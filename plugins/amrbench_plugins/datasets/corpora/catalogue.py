"""The files of the corpora: sounds with captions, and backgrounds, in the folders that are published."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amrbench.content_hash import content_hash
from amrbench.data.audio import SUFFIXES, audio_by_stem
from amrbench.errors import DataError, some
from amrbench.files.folder_files import files_below
from amrbench.files.folders import path_of
from amrbench.files.text_file import read_text
from amrbench.notes import note

WAVCAPS = {
    "AudioSet_SL": ("as_final.json", "YouTube content; ids CC BY 4.0; captions for academic use only"),
    "BBC_Sound_Effects": ("bbc_final.json", "RemArc, non-commercial; captions for academic use only"),
    "SoundBible": ("sb_final.json", "per clip, see its page; captions for academic use only"),
}
"""Subsets that the report uses: the file of captions, and the licence."""
DEMAND_LICENCE = "CC BY-SA 3.0 (Thiemann et al. 2013); see the text of your download"
TOURS_LICENCE = "YouTube content; list of videos CC BY (Venkataramanan et al. 2024)"
_CHANNELS = 16
"""Of each environment of DEMAND."""


@dataclass(frozen=True)
class SourceFile:
    """A recording of a corpus.

    Attributes:
        corpus: Its corpus.
        name: Its id there.
        path: The file.
        licence: Of the recording.
    """

    corpus: str
    name: str
    path: Path
    licence: str

    def as_row(self) -> dict[str, object]:
        """Return it with the keys of the manifest."""
        return {"corpus": self.corpus, "id": self.name, "file": self.path.name, "licence": self.licence}


@dataclass(frozen=True)
class Sound(SourceFile):
    """A recording with captions: sentences about it, at least one."""

    captions: tuple[str, ...]


@dataclass(frozen=True)
class Background(SourceFile):
    """A recording of an environment; channels of one environment are not independent."""

    environment: str


def wavcaps_sounds(
    folder: Path, subsets: Sequence[str], excluded: Mapping[Path, frozenset[str]]
) -> list[Sound]:
    """Return the sounds of some subsets of WavCaps whose ids are not excluded, in the order of their files.

    Sounds without captions are left out. The captions are in `json_files/<subset>/<name>.json`,
    `<subset>/<name>.json` or `<name>.json`. The audio is in `<subset>/` or `<subset>_flac/`, named by the id,
    with any suffix.

    Args:
        folder: Of WavCaps.
        subsets: Some of `WAVCAPS`.
        excluded: The ids in each file of excluded ids, as `excluded_ids` returns them.

    Raises:
        DataError: A file is missing or is not as published, or a file of excluded ids names no sound.
    """
    paths = {subset: _captions_file(folder, subset) for subset in subsets}
    published = {subset: _wavcaps_captions(path) for subset, path in paths.items()}
    known = {plain_id(name) for captions in published.values() for name in captions}
    for file, ids in excluded.items():
        _note_matches(file, ids, known, subsets)
    left_out = frozenset[str]().union(*excluded.values())
    sounds = []
    for subset in subsets:
        files = _audio_below(folder / subset) | _audio_below(folder / f"{subset}_flac")
        captions = {
            name: texts for name, texts in published[subset].items() if plain_id(name) not in left_out
        }
        if missing := [name for name in captions if name not in files]:
            raise DataError(
                f"{paths[subset]}: {len(missing):,} of {len(captions):,} recordings have no audio file in "
                f"{folder / subset}: {some(missing)}. Unpack the whole archive there, name in 'exclude' a "
                "file with the missing ids, or leave the subset out."
            )
        licence = WAVCAPS[subset][1]
        sounds += [
            Sound(f"WavCaps {subset}", name, files[name], licence, texts) for name, texts in captions.items()
        ]
    return sounds


def demand_backgrounds(folder: Path, environments: Sequence[str]) -> list[Background]:
    """Return the channels of some environments of DEMAND, 16 for each.

    They are in `<NAME>/`, `<NAME>_16k/` or `<NAME>_48k/`, or in a folder `<NAME>/` in one of these.

    Raises:
        DataError: A channel is missing.
    """
    backgrounds = []
    for name in environments:
        outer = (folder / name, folder / f"{name}_16k", folder / f"{name}_48k")
        folders = [inner for parent in outer for inner in (parent, parent / name)]
        for number in range(1, _CHANNELS + 1):
            channel = f"ch{number:02d}"
            files = [path for inner in folders if (path := inner / f"{channel}.wav").is_file()]
            if not files:
                raise DataError(
                    f"{folder / name}: there is no {channel}.wav. Unpack {name}_16k.zip or {name}_48k.zip of "
                    "DEMAND there."
                )
            backgrounds.append(Background("DEMAND", f"{name} {channel}", files[0], DEMAND_LICENCE, name))
    return backgrounds


def clotho_sounds(folder: Path, split: str) -> list[Sound]:
    """Return the sounds of a split of Clotho.

    They are in `<split>/`, their captions in `clotho_captions_<split>.csv` and their licences in
    `clotho_metadata_<split>.csv`.

    Raises:
        DataError: A file is missing or is not as published.
    """
    path = folder / f"clotho_captions_{split}.csv"
    rows = _read_csv(path, ("file_name", "caption_1"))
    metadata = _read_csv(folder / f"clotho_metadata_{split}.csv", ("file_name", "license"), "latin-1")
    licences = {row["file_name"]: row["license"] for row in metadata}
    files = _audio_below(folder / split)
    sounds = []
    for number, row in enumerate(rows, start=2):  # row 1 is the header
        name = row["file_name"]
        if Path(name).stem not in files:
            raise DataError(
                f"{folder / split}: there is no audio file {name!r}, which the captions of Clotho name."
            )
        # Cells beyond the last column have no name.
        captions = _texts(value for key, value in row.items() if key and key.startswith("caption_"))
        if not captions:
            raise DataError(f"{path}: row {number}, {name!r}, has no caption. Download it with Clotho v2.1.")
        licence = licences.get(name, "not in the metadata")
        sounds.append(Sound("Clotho", name, files[Path(name).stem], licence, captions))
    return sounds


def tour_backgrounds(folder: Path, names: Sequence[str]) -> list[Background]:
    """Return the Walking Tours of some names; a file is called like its tour, with any suffix.

    Raises:
        DataError: A tour is missing.
    """
    files = _audio_below(folder)
    for name in names:
        if name not in files:
            raise DataError(f"{folder}: there is no audio file {name!r} ({', '.join(SUFFIXES)}).")
    return [Background("Walking Tours", name, files[name], TOURS_LICENCE, name) for name in names]


def excluded_ids(files: Iterable[str]) -> dict[Path, frozenset[str]]:
    """Return the ids in each of some files, as `plain_id` gives them.

    A file is text with one id on each line, or JSON with ids in lists and mappings.

    Raises:
        DataError: A file cannot be read.
    """
    ids: dict[Path, frozenset[str]] = {}
    for path in map(path_of, files):
        text = read_text(path)
        try:
            is_json = path.suffix.lower() == ".json"
            names = map(str, _leaves(json.loads(text))) if is_json else text.splitlines()
            ids[path] = frozenset(plain_id(name) for name in names if name.strip())
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: the excluded ids are no JSON ({error}).") from error
    return ids


def plain_id(name: str) -> str:
    """Return an id in the form in which ids are compared: WavCaps writes YouTube ids as Y<11 letters>.wav.

    Quotation marks of tables are left out.

    >>> plain_id('"Y---1_cCGK4M.wav"')
    '---1_cCGK4M'
    """
    stem = re.sub(r"\.(wav|flac|mp3|ogg)$", "", name.strip().strip("\"'"), flags=re.IGNORECASE)
    return stem[1:] if re.fullmatch(r"Y[\w-]{11}", stem) else stem


def hash_of_sources(sources: Sequence[Sound | Background]) -> str:
    """Return a hash of ids, captions or environments, and sizes of files; no audio is read for it."""
    return content_hash(
        [
            [
                source.corpus,
                source.name,
                source.captions if isinstance(source, Sound) else source.environment,
                source.path.stat().st_size,
            ]
            for source in sources
        ]
    )


def hash_fraction(name: str) -> float:
    """Return a number from 0 to 1 that depends on a name alone; it decides the split of a recording."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _captions_file(folder: Path, subset: str) -> Path:
    """Return the file of captions of a subset, or where it should be."""
    file, _ = WAVCAPS[subset]
    candidates = (folder / subset / file, folder / "json_files" / subset / file, folder / file)
    return next((candidate for candidate in candidates if candidate.is_file()), candidates[0])


def _wavcaps_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the captions of each id in a file of WavCaps, without ids that have none."""
    text = read_text(path)
    captions: dict[str, tuple[str, ...]] = {}
    try:
        for entry in json.loads(text)["data"]:
            name = str(entry["id"]).removesuffix(".wav")
            numbered = [value for key, value in entry.items() if re.fullmatch(r"caption_\d+", key)]
            captions[name] = _texts(numbered if numbered and "caption" not in entry else [entry["caption"]])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: is not as WavCaps publishes it ({type(error).__name__}: {error}): it needs 'data' with "
            "'id' and 'caption'."
        ) from error
    return {name: texts for name, texts in captions.items() if texts}


def _note_matches(path: Path, ids: frozenset[str], known: set[str], subsets: Sequence[str]) -> None:
    """Note how many ids of a file of excluded ids are those of sounds; DataError if none is."""
    if not (used := ids & known):
        named = (
            f"none of its {len(ids):,} ids ({some(sorted(ids), 3)}) is"
            if ids
            else "it has no ids, so none is"
        )
        raise DataError(
            f"{path}: {named} in WavCaps {', '.join(subsets)}, so 'exclude' would leave nothing out. Write "
            "one id on each line, or ids in JSON (a name that ends in .json); or take the file out of "
            "'exclude'."
        )
    note(f"{path}: {len(used):,} of its {len(ids):,} ids are in WavCaps {', '.join(subsets)} and left out.")


def _texts(captions: Iterable[object]) -> tuple[str, ...]:
    """Return captions with single blanks between words, without empty ones."""
    cleaned = (" ".join(str(caption).split()) for caption in captions if caption is not None)
    return tuple(caption for caption in cleaned if caption)


def _read_csv(path: Path, columns: Sequence[str], encoding: str = "utf-8") -> list[dict[str, str]]:
    try:
        with path.open(encoding=encoding, newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Download it with Clotho v2.1.") from error
    if not rows or any(column not in rows[0] for column in columns):
        raise DataError(f"{path}: has no rows with {' and '.join(columns)}. Download it with Clotho v2.1.")
    return rows


def _audio_below(folder: Path) -> dict[str, Path]:
    return audio_by_stem(files_below(folder).files) if folder.is_dir() else {}


def _leaves(content: Any) -> Iterator[object]:
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            yield from _leaves(value)
    else:
        yield content
