"""Several encoders as one."""

from __future__ import annotations

from collections.abc import Sequence

from amrbench.data.concat_features import concat_audio, concat_text
from amrbench.errors import DataError
from amrbench.slots.features import FeatureBackend
from amrbench_plugins.backends.lazy_encoder import Rows


class ConcatEncoder:
    """Encoders side by side; a `FeatureBackend`. Each row is divided by its norm, encoder by encoder.

    Encoders that expect different rates cannot hear one waveform, so features are made encoder by encoder and
    joined afterwards; this one serves where all expect the same.
    """

    def __init__(self, backends: Sequence[FeatureBackend]) -> None:
        self.backends = tuple(backends)
        self.name = "+".join(each.name for each in backends)
        self.audio_width = sum(each.audio_width for each in backends)
        self.text_width = sum(each.text_width for each in backends)
        self.rate = backends[0].rate
        self.hop = backends[0].hop

    def audio(self, waveform: Rows) -> Rows:
        """Return (T, sum of the widths) for a mono waveform (samples,).

        Raises:
            DataError: The encoders expect different rates or hops.
        """
        rates = {(each.rate, each.hop) for each in self.backends}
        if len(rates) > 1:
            raise DataError(
                f"encoders {self.name} expect {' and '.join(f'{rate} Hz' for rate, _ in sorted(rates))}, "
                "so one waveform is not enough. Extract the features of each and put them side by side."
            )
        return concat_audio([each.audio(waveform) for each in self.backends], "the recording")

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (L, sum of the widths) for each sentence."""
        found = [each.text(sentences) for each in self.backends]
        return [concat_text(rows, repr(one)) for one, *rows in zip(sentences, *found, strict=True)]

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the numbers."""
        return " + ".join(each.fingerprint() for each in self.backends)
