"""Encoders by their names in recipes and protocols."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amrbench.data.needs import Need, Published, refuse_missing
from amrbench.errors import DataError
from amrbench.part import Part, placing
from amrbench.slots import Backend, FeaturesPart
from amrbench_plugins.backends.model_files import ModelFile

Rows = NDArray[np.float32]


class MiniClap(FeaturesPart):
    """Small contrastive encoders that know the procedural sounds only; a stand-in for CLAP.

    64 features; hears the spectrum of each second, but hardly its rhythm.
    """

    use = "mini-clap"

    def build(self) -> Backend:
        """Return the encoders with the shipped weights."""
        from amrbench_plugins.backends.mini_clap import load

        return load(self.use)


class MiniClapWide(FeaturesPart):
    """Larger encoders of the same kind that also hear rhythm; a stand-in for M2D-CLAP."""

    use = "mini-clap-wide"

    def build(self) -> Backend:
        """Return the encoders with the shipped weights."""
        from amrbench_plugins.backends.mini_clap import load

        return load(self.use)


class Clap(FeaturesPart):
    """MS-CLAP 2023: 768 features a second and a token (Elizalde et al. 2023)."""

    use = "clap"
    weights: str = placing("file of the published weights; by default in the folder of models")

    def build(self) -> Backend:
        """Return the encoder."""
        return _Unread(self.use, 44100, self.needs())

    def needs(self) -> Sequence[Need]:
        """Return the file of the weights."""
        return [CLAP_WEIGHTS.need(self.weights)]


class M2dClap(FeaturesPart):
    """M2D-CLAP 2025: 768 features a second and one for a sentence (Niizumi et al. 2025)."""

    use = "m2d-clap"
    weights: str = placing("folder of the published weights; by default in the folder of models")

    def build(self) -> Backend:
        """Return the encoder."""
        return _Unread(self.use, 16000, self.needs())

    def needs(self) -> Sequence[Need]:
        """Return the folder of the weights."""
        return [M2D_WEIGHTS.need(self.weights)]


CLAP_WEIGHTS = ModelFile(
    encoder="clap",
    what="weights",
    names=("CLAP_weights_2023.pth",),
    published=Published("Zenodo 8378278, or microsoft/msclap on Hugging Face", "0.7 GB"),
    option="weights",
)
M2D_WEIGHTS = ModelFile(
    encoder="m2d-clap",
    what="weights",
    names=("m2d_clap_vit_base-80x1001p16x16p16kpBpTI-2025/checkpoint-30.pth",),
    published=Published("release v0.5.0 of nttcslab/m2d on GitHub"),
    option="weights",
)


class _Unread:
    """An encoder whose weights are not read yet."""

    audio_width = text_width = 768
    hop = 1.0

    def __init__(self, name: str, rate: int, needs: Sequence[Need]) -> None:
        self.name, self.rate, self._needs = name, rate, needs

    def audio(self, waveform: Rows) -> Rows:
        raise self._refusal()

    def text(self, sentences: Sequence[str]) -> list[Rows]:
        raise self._refusal()

    def fingerprint(self) -> str:
        raise self._refusal()

    def _refusal(self) -> DataError:
        refuse_missing(f"encoder {self.name!r}", self._needs)
        return DataError(f"encoder {self.name!r}: this version does not read its weights.")


PARTS: tuple[type[Part], ...] = (Clap, M2dClap, MiniClap, MiniClapWide)
