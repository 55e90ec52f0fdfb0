"""Encoders by their names in recipes and protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from amrbench.data.needs import Need, Published, refuse_missing
from amrbench.errors import DataError
from amrbench.part import Part, placing
from amrbench.slots import Backend, FeaturesPart
from amrbench_plugins.backends.late import Late, Opened
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
    """M2D-CLAP 2025: 768 features a second, and of a sentence (Niizumi et al. 2025)."""

    use = "m2d-clap"
    text: Literal["sentence", "tokens"] = Field(
        "sentence", description="one row for the sentence, as the report has it, or its tokens besides"
    )
    weights: str = placing("file of the published weights; by default in the folder of models")
    vocabulary: str = placing("vocab.txt of bert-base-uncased; by default in the folder of models")

    def build(self) -> Backend:
        """Return the encoder."""
        return Late(self.use, 16000, 768, 768, self._open)

    def needs(self) -> Sequence[Need]:
        """Return the weights and the vocabulary."""
        return [M2D_WEIGHTS.need(self.weights), BERT_VOCABULARY.need(self.vocabulary)]

    def _open(self) -> Opened:
        from amrbench_plugins.backends.m2d_clap.encoder import load

        refuse_missing(f"encoder {self.use!r}", self.needs())
        return load(M2D_WEIGHTS.find(self.weights), BERT_VOCABULARY.find(self.vocabulary), self.text)


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
BERT_VOCABULARY = ModelFile(
    encoder="m2d-clap",
    what="vocabulary",
    names=("vocab.txt",),
    published=Published("google-bert/bert-base-uncased on Hugging Face", "0.2 MB"),
    option="vocabulary",
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
