"""Encoders of recordings and sentences."""

from __future__ import annotations

import json
import re
import shlex
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from amrbench.part import Part, locates

if TYPE_CHECKING:
    from amrbench.required_files import RequiredFile
    from amrbench.types import Rows


class FeatureBackend(Protocol):
    """Turns recordings and sentences into features.

    The attributes are known without any file. Weights are read at the first call of `audio`, `text` or
    `fingerprint`, which raise DataError if a file is missing and say where it is published.
    """

    name: str
    audio_width: int
    text_width: int
    rate: int
    """Samples per second that `audio` expects."""
    hop: float
    """Seconds between two feature rows."""

    def audio(self, waveform: Rows) -> Rows:
        """Return (T, audio_width) for a mono waveform (samples,); T = floor(seconds / hop)."""

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (L, text_width) for each sentence; L may differ and is at least 1."""

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the features."""


@runtime_checkable
class CutsSentences(Protocol):
    """An encoder that reads only the beginning of long sentences."""

    def too_long(self, sentences: Sequence[str]) -> list[str]:
        """Return the sentences of which `text` reads only the beginning."""


def cut_sentences(backend: FeatureBackend, sentences: Sequence[str]) -> list[str]:
    """Return the sentences of which an encoder reads only the beginning."""
    return backend.too_long(sentences) if isinstance(backend, CutsSentences) else []


class FeaturesPart(Part):
    """An audio-text encoder, by its name in papers."""

    slot = "features"
    builds = FeatureBackend

    @abstractmethod
    def build(self) -> FeatureBackend:
        """Return the encoder, without reading files."""

    @property
    def label(self) -> str:
        """Return the name and the options that change its features, e.g. "m2d-clap+text=tokens"."""
        fields = type(self).model_fields
        changed = [name for name in self.changed_options() if not locates(fields[name])]
        return "+".join([self.use, *(f"{name}={getattr(self, name)}" for name in changed)])

    @property
    def argument(self) -> str:
        """Return what `--encoder` is given to name this encoder with its options, quoted for a shell."""
        changed = {"use": self.use} | self.model_dump(mode="json", exclude_defaults=True)
        if len(changed) == 1:
            return self.use
        plain = re.compile(r"(?!true$|false$|null$)[a-z][\w./-]{3,}")  # What YAML reads as a word.
        if all(isinstance(value, str) and plain.fullmatch(value) for value in changed.values()):
            return f'"{{{", ".join(f"{name}: {value}" for name, value in changed.items())}}}"'
        return shlex.quote(json.dumps(changed, ensure_ascii=False))

    @property
    def encoders(self) -> tuple[FeaturesPart, ...]:
        """Return the encoders whose features are concatenated; by default only this one."""
        return (self,)

    def replaced(self, stand_ins: Mapping[str, FeaturesPart]) -> FeaturesPart:
        """Return the stand-in for this part if there is one, else this part."""
        return stand_ins.get(self.use, self)

    def required_files(self) -> Sequence[RequiredFile]:
        """Return the files that it reads; none for an encoder that is shipped."""
        return ()

    def known_sounds(self) -> Sequence[str]:
        """Return the names of the sounds that it recognises; none where they cannot be listed."""
        return ()

    def parameters(self) -> int | None:
        """Return the number of its weights without reading them; None if unknown."""
        return None
