"""LAION-CLAP (Wu et al. 2023) through the library transformers, from a folder on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from amrbench.errors import DataError
from amrbench.types import Rows
from amrbench_plugins.backends.lazy_encoder import LoadedEncoder, encode_seconds
from amrbench_plugins.backends.model_files import file_hash, refuse_missing_transformers

RATE = 48_000
_CODE = 1
"""Raised when the same weights give other rows."""
_BATCH = 8
_FILE = "model.safetensors"


@dataclass(frozen=True)
class LaionClap(LoadedEncoder):
    """Audio and text side, with their weights in memory."""

    model: Any
    feature_extractor: Any
    tokenizer: Any
    file: Path

    @override
    @torch.inference_mode()
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, 512): each whole second alone, repeated to the length of the training audio."""
        width = self.model.config.projection_dim
        return encode_seconds(waveform, RATE, batch=_BATCH, width=width, encode=self._rows)

    def _rows(self, seconds: Rows) -> Rows:
        inputs = self.feature_extractor(list(seconds), sampling_rate=RATE, return_tensors="pt")
        # If no recording is long, the library marks a random one as long.
        inputs["is_longer"] = torch.zeros(len(seconds), 1, dtype=torch.bool)
        return _as_array(self.model.get_audio_features(**inputs))

    @override
    @torch.inference_mode()
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (1, 512) for each sentence."""
        inputs = [self.tokenizer([sentence], return_tensors="pt", truncation=True) for sentence in sentences]
        return [_as_array(self.model.get_text_features(**tokens)) for tokens in inputs]

    @override
    def too_long(self, sentences: Sequence[str]) -> list[str]:
        marks = self.tokenizer.num_special_tokens_to_add()
        longest = self.tokenizer.model_max_length - marks
        return [sentence for sentence in sentences if len(self.tokenizer.tokenize(sentence)) > longest]

    @override
    def fingerprint(self) -> str:
        return f"laion-clap {_CODE} {file_hash(self.file)}"


def load(folder: Path) -> LaionClap:
    """Read a published folder; nothing is downloaded and no code in it is run.

    Raises:
        DataError: transformers is not installed, or the folder does not hold a CLAP model.
    """
    refuse_missing_transformers("laion-clap")
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    if not (folder / _FILE).is_file():
        raise DataError(
            f"{folder}: has no {_FILE}. Download the whole folder, with weights as safetensors, from "
            "laion/larger_clap_general on Hugging Face."
        )
    options: Any = {"local_files_only": True, "trust_remote_code": False}
    try:
        model: Any = ClapModel.from_pretrained(folder, use_safetensors=True, **options)
        feature_extractor = ClapFeatureExtractor.from_pretrained(folder, **options)
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except Exception as error:
        raise DataError(
            f"{folder}: transformers cannot read it as a CLAP model ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason'}). Download the whole folder again."
        ) from error
    return LaionClap(model.eval(), feature_extractor, tokenizer, folder / _FILE)


def _as_array(output: Any) -> Rows:
    # Older versions of transformers return the tensor, newer ones an object around it.
    tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    rows: Rows = tensor.numpy()
    return rows
