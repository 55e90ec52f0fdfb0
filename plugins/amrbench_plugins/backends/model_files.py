"""Files of encoders that people place: where they are looked for, and what is said if they are missing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from amrbench.data.needs import Need, Published, refuse_missing
from amrbench.errors import DataError
from amrbench.files.paths import MODELS_VARIABLE, models_folder

_CHUNK = 1 << 20


@dataclass(frozen=True)
class ModelFile:
    """A published file, or folder of files, that an encoder reads.

    Attributes:
        encoder: Name of the encoder.
        what: What the file is, e.g. "weights".
        names: Its published names, relative to the folder of the encoder; the first that is there is taken.
        published: Where it can be had from.
        option: The option of the encoder that names another place.
        holds: For a folder, the file that must lie in it.
    """

    encoder: str
    what: str
    names: tuple[str, ...]
    published: Published
    option: str
    holds: str = ""

    def find(self, chosen: str) -> Path:
        """Return the place that the option names, or the usual one.

        Raises:
            DataError: Nothing lies there.
        """
        need = self.need(chosen)
        refuse_missing(f"encoder {self.encoder!r}", [need])
        return need.place

    def need(self, chosen: str) -> Need:
        """Return the file as something that must be at hand."""
        places = self._places(chosen)
        place = next((each for each in places if self._is_there(each)), places[0])
        return Need(
            what=f"{self.what} of {self.encoder}",
            place=place,
            found=self._is_there(place),
            published=self.published,
            remedy=f"Put it there (${MODELS_VARIABLE} chooses the folder of models), or name it with the "
            f"option '{self.option}'.",
        )

    def _is_there(self, place: Path) -> bool:
        return (place / self.holds).is_file()

    def _places(self, chosen: str) -> list[Path]:
        if chosen:
            return [Path(chosen).expanduser()]
        return [models_folder() / self.encoder / name for name in self.names]


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
