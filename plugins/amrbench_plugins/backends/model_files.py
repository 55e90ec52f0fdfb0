"""Published files of encoders: their paths, and the message if one is missing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from amrbench.errors import DataError, unreadable
from amrbench.files.folders import MODELS_VARIABLE, models_folder
from amrbench.required_files import Published, RequiredFile


@dataclass(frozen=True)
class ModelFile:
    """A published file, or folder of files, that an encoder reads.

    Attributes:
        encoder: Name of the encoder.
        what: What the file is, e.g. "weights".
        names: Its published names, relative to the folder of the encoder; the first that exists is used.
        published: Where it is published.
        option: The option of the encoder for another path.
        holds: For a folder, the file that must be in it.
    """

    encoder: str
    what: str
    names: tuple[str, ...]
    published: Published
    option: str
    holds: str = ""

    def required_file(self, chosen: str) -> RequiredFile:
        """Return the file as one that must be present; `chosen` is the value of the option."""
        names = [models_folder() / self.encoder / name for name in self.names]
        paths = [Path(chosen).expanduser()] if chosen else names
        present = [path for path in paths if (path / self.holds).is_file()]
        return RequiredFile(
            what=f"{self.what} of {self.encoder}",
            path=[*present, *paths][0],
            present=bool(present),
            published=self.published,
            remedy=f"Put it there (${MODELS_VARIABLE} chooses the folder of models), or name it with the "
            f"option '{self.option}'.",
        )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, 16 digits, or raise DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise unreadable(path, error) from error


def refuse_missing_transformers(encoder: str) -> None:
    """Raise DataError if the library that an encoder needs is not installed."""
    if find_spec("transformers") is None:
        raise DataError(
            f"encoder {encoder!r} needs the package transformers. Install it with "
            f"'pip install amrbench[{encoder}]'."
        )
