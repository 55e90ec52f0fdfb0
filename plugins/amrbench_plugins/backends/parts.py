"""Encoders by their names in recipes and protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from amrbench.part import Part, location, problem
from amrbench.required_files import Published, RequiredFile, refuse_missing
from amrbench.slots.features import FeatureBackend, FeaturesPart
from amrbench_plugins.backends.lazy_encoder import LazyEncoder, LoadedEncoder, count
from amrbench_plugins.backends.model_files import ModelFile
from amrbench_plugins.backends.ms_clap import tables


class Shipped(FeaturesPart):
    """Small contrastive encoders that know the procedural sounds only."""

    def build(self) -> FeatureBackend:
        """Return the encoders with the shipped weights."""
        from amrbench_plugins.backends.mini_clap import load

        return load(self.use)

    def parameters(self) -> int:
        """Return the number of weights of both sides."""
        from amrbench_plugins.backends.mini_clap import load

        return load(self.use).parameters


class MiniClap(Shipped):
    """Small contrastive encoders that know the procedural sounds only; a stand-in for CLAP.

    64 features; hears the spectrum of each second, but hardly its rhythm.
    """

    use = "mini-clap"


class MiniClapWide(Shipped):
    """Larger encoders of the same kind that also hear rhythm; a stand-in for M2D-CLAP."""

    use = "mini-clap-wide"


class Clap(FeaturesPart):
    """MS-CLAP 2023: 768 features a second and a token (Elizalde et al. 2023)."""

    use = "clap"
    weights: str = location("file of the published weights; by default in the folder of models")
    tokenizer: str = location(
        "folder with GPT-2's vocab.json and merges.txt; by default in the folder of models"
    )

    def build(self) -> FeatureBackend:
        """Return the encoder."""
        return LazyEncoder(self.use, 44100, 768, 768, self._open)

    def required_files(self) -> Sequence[RequiredFile]:
        """Return the weights and the tables of the tokenizer."""
        return [CLAP_WEIGHTS.required_file(self.weights), tables.required_file(self.tokenizer)]

    def _open(self) -> LoadedEncoder:
        from amrbench_plugins.backends.ms_clap.encoder import load

        refuse_missing(f"encoder {self.use!r}", self.required_files())
        return load(CLAP_WEIGHTS.find(self.weights), *tables.find(self.tokenizer))

    def parameters(self) -> int:
        """Return the number of weights of both sides."""
        from amrbench_plugins.backends.ms_clap import gpt2, htsat

        return count(lambda: htsat.Htsat(htsat.Sizes())) + count(lambda: gpt2.Gpt2(gpt2.Sizes()))


class M2dClap(FeaturesPart):
    """M2D-CLAP 2025: 768 features a second, and of a sentence (Niizumi et al. 2025)."""

    use = "m2d-clap"
    text: Literal["sentence", "tokens"] = Field(
        "sentence", description="one row for the sentence, as the report has it, or its tokens besides"
    )
    weights: str = location("file of the published weights; by default in the folder of models")
    vocabulary: str = location("vocab.txt of bert-base-uncased; by default in the folder of models")

    def build(self) -> FeatureBackend:
        """Return the encoder."""
        return LazyEncoder(self.use, 16000, 768, 768, self._open)

    def required_files(self) -> Sequence[RequiredFile]:
        """Return the weights and the vocabulary."""
        return [M2D_WEIGHTS.required_file(self.weights), BERT_VOCABULARY.required_file(self.vocabulary)]

    def _open(self) -> LoadedEncoder:
        from amrbench_plugins.backends.m2d_clap.encoder import load

        refuse_missing(f"encoder {self.use!r}", self.required_files())
        return load(M2D_WEIGHTS.find(self.weights), BERT_VOCABULARY.find(self.vocabulary), self.text)

    def parameters(self) -> int:
        """Return the number of weights of both sides."""
        from amrbench_plugins.backends.m2d_clap import bert, vit

        return count(lambda: vit.AudioEncoder(vit.Sizes())) + count(lambda: bert.Bert(bert.Sizes()))


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


class LaionClap(FeaturesPart):
    """LAION-CLAP: 512 features a second and one for a sentence, in one space (Wu et al. 2023)."""

    use = "laion-clap"
    weights: str = location("folder of the published model; by default in the folder of models")

    def build(self) -> FeatureBackend:
        """Return the encoder."""
        return LazyEncoder(self.use, 48000, 512, 512, self._open)

    def required_files(self) -> Sequence[RequiredFile]:
        """Return the folder of the model."""
        return [LAION_WEIGHTS.required_file(self.weights)]

    def _open(self) -> LoadedEncoder:
        from amrbench_plugins.backends.laion_clap import load

        refuse_missing(f"encoder {self.use!r}", self.required_files())
        return load(LAION_WEIGHTS.find(self.weights))


def _apart(parts: tuple[FeaturesPart, ...]) -> tuple[FeaturesPart, ...]:
    labels = [member.label for part in parts for member in part.encoders]
    for label in labels:
        if labels.count(label) > 1:
            raise problem(f"{label!r} stands twice in this list; keep one.")
    return parts


class Concat(FeaturesPart):
    """Several encoders, whose features are concatenated in each row."""

    use = "concat"
    example: ClassVar[Mapping[str, Any]] = {"of": ["mini-clap", "mini-clap-wide"]}
    of: Annotated[tuple[FeaturesPart, ...], AfterValidator(_apart)] = Field(
        min_length=2, description="the encoders"
    )

    def build(self) -> FeatureBackend:
        """Return the encoders as one."""
        from amrbench_plugins.backends.concat import ConcatEncoder

        return ConcatEncoder([part.build() for part in self.encoders])

    @property
    def label(self) -> str:
        """Return the names of all."""
        return "+".join(part.label for part in self.encoders)

    @property
    def encoders(self) -> tuple[FeaturesPart, ...]:
        """Return the encoders, those of an inner list one by one."""
        return tuple(member for part in self.of for member in part.encoders)

    def replaced(self, stand_ins: Mapping[str, FeaturesPart]) -> FeaturesPart:
        """Return the same with stand-ins for those that are not at hand."""
        others = tuple(part.replaced(stand_ins) for part in self.of)
        return stand_ins.get(self.use) or self.model_copy(update={"of": others})

    def required_files(self) -> Sequence[RequiredFile]:
        """Return what all of them need."""
        return [file for part in self.encoders for file in part.required_files()]


LAION_WEIGHTS = ModelFile(
    encoder="laion-clap",
    what="folder with model.safetensors",
    names=("larger_clap_general", "clap-htsat-unfused", "."),
    published=Published("laion/larger_clap_general on Hugging Face", "0.8 GB"),
    option="weights",
    holds="model.safetensors",
)
PARTS: tuple[type[Part], ...] = (Clap, Concat, LaionClap, M2dClap, MiniClap, MiniClapWide)
