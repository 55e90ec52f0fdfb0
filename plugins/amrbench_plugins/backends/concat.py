"""Several encoders as one."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from amrbench.data.concat_features import concat_audio, concat_text
from amrbench.errors import DataError
from amrbench.slots.features import CutsSentences, FeatureBackend, cut_sentences
from amrbench.types import Rows


class ConcatEncoder(FeatureBackend, CutsSentences):
    """Encoders of one sample rate, with their features concatenated, each row of each divided by its norm.

    Encoders of different rates cannot read one waveform: their features are made separately and concatenated
    afterwards.
    """

    def __init__(self, backends: Sequence[FeatureBackend]) -> None:
        self.backends = tuple(backends)
        self.name = "+".join(backend.name for backend in backends)
        self.audio_width = sum(backend.audio_width for backend in backends)
        self.text_width = sum(backend.text_width for backend in backends)
        self.rate = backends[0].rate
        self.hop = backends[0].hop

    @override
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, audio_width).

        Raises:
            DataError: The encoders expect different rates or hops.
        """
        rates = {(backend.rate, backend.hop) for backend in self.backends}
        if len(rates) > 1:
            raise DataError(
                f"encoders {self.name} expect {' and '.join(f'{rate} Hz' for rate, _ in sorted(rates))}, "
                "so one waveform is not enough. Extract the features of each and concatenate them."
            )
        return concat_audio([backend.audio(waveform) for backend in self.backends], "the recording")

    @override
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        encoded = [backend.text(sentences) for backend in self.backends]
        return [
            concat_text(rows, repr(sentence)) for sentence, *rows in zip(sentences, *encoded, strict=True)
        ]

    @override
    def too_long(self, sentences: Sequence[str]) -> list[str]:
        cut = {sentence for backend in self.backends for sentence in cut_sentences(backend, sentences)}
        return [sentence for sentence in sentences if sentence in cut]

    @override
    def fingerprint(self) -> str:
        return " + ".join(backend.fingerprint() for backend in self.backends)
