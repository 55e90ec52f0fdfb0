"""Published files of encoders: their paths, and the message if one is missing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from amrbench.errors import DataError
from amrbench.files.folders import MODELS_VARIABLE, models_folder
from amrbench.required_files import Published, RequiredFile, refuse_missing

_CHUNK = 1 << 20


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

    def find(self, chosen: str) -> Path:
        """Return the path that the option gives, or else the default path.

        Raises:
            DataError: There is no such file.
        """
        file = self.required_file(chosen)
        refuse_missing(f"encoder {self.encoder!r}", [file])
        return file.path

    def required_file(self, chosen: str) -> RequiredFile:
        """Return the file as one that must be present; `chosen` is the value of the option."""
        paths = [models_folder() / self.encoder / name for name in self.names]
        paths = [Path(chosen).expanduser()] if chosen else paths
        path = next((path for path in paths if self._is_present(path)), paths[0])
        return RequiredFile(
            what=f"{self.what} of {self.encoder}",
            path=path,
            present=self._is_present(path),
            published=self.published,
            remedy=f"Put it there (${MODELS_VARIABLE} chooses the folder of models), or name it with the "
            f"option '{self.option}'.",
        )

    def _is_present(self, path: Path) -> bool:
        return (path / self.holds).is_file()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, 16 digits, or raise DataError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(_CHUNK):
                digest.update(data)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    return digest.hexdigest()[:16]
