"""LAION-CLAP (Wu et al. 2023) through the library transformers, from a folder on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amrbench.errors import DataError
from amrbench_plugins.backends.lazy_encoder import LoadedEncoder, Rows, seconds_of
from amrbench_plugins.backends.model_files import file_hash

RATE = 48_000
_CODE = 1
"""Raised when the same weights give other rows."""
_BATCH = 8
_FILE = "model.safetensors"


@dataclass(frozen=True)
class LaionClap:
    """The encoders, with their weights in memory."""

    model: Any
    features: Any
    tokens: Any
    file: Path

    @torch.inference_mode()
    def audio(self, waveform: Rows) -> Rows:
        """Return (T, 512): each whole second alone, repeated to the length of the training audio."""
        seconds = seconds_of(np.ascontiguousarray(waveform, np.float32), RATE)
        rows = [self._seconds(seconds[at : at + _BATCH]) for at in range(0, len(seconds), _BATCH)]
        return np.concatenate([np.zeros((0, self.model.config.projection_dim), np.float32), *rows])

    @torch.inference_mode()
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return (1, 512) for each sentence."""
        return [self._sentence(each) for each in sentences]

    def fingerprint(self) -> str:
        """Return a hash of the weights."""
        return f"laion-clap {_CODE} {file_hash(self.file)}"

    def _seconds(self, seconds: Rows) -> Rows:
        inputs = self.features(list(seconds), sampling_rate=RATE, return_tensors="pt")
        # The library marks one of the recordings as long at random where none is.
        inputs["is_longer"] = torch.zeros(len(seconds), 1, dtype=torch.bool)
        return _plain(self.model.get_audio_features(**inputs))

    def _sentence(self, sentence: str) -> Rows:
        inputs = self.tokens([sentence], return_tensors="pt", truncation=True)
        return _plain(self.model.get_text_features(**inputs))


def load(folder: Path) -> LoadedEncoder:
    """Read a published folder; nothing is downloaded and no code in it is run.

    Raises:
        DataError: transformers is not installed, or the folder is not that of a model.
    """
    try:
        from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel
    except ImportError as error:
        raise DataError(
            "encoder 'laion-clap' needs the package transformers. Install it with "
            "'pip install amrbench[laion-clap]'."
        ) from error
    if not (folder / _FILE).is_file():
        raise DataError(
            f"{folder}: has no {_FILE}. Download the whole folder, with weights as safetensors, from "
            "laion/larger_clap_general on Hugging Face."
        )
    here: Any = {"local_files_only": True, "trust_remote_code": False}
    try:
        model: Any = ClapModel.from_pretrained(folder, use_safetensors=True, **here)
        features = ClapFeatureExtractor.from_pretrained(folder, **here)
        tokens = AutoTokenizer.from_pretrained(folder, **here)
    except Exception as error:
        raise DataError(
            f"{folder}: transformers cannot read it as a CLAP model ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason'}). Download the whole folder again."
        ) from error
    return LaionClap(model.eval(), features, tokens, folder / _FILE)


def _plain(found: Any) -> Rows:
    # Older versions of transformers return the tensor, newer ones an object around it.
    tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
    rows: Rows = tensor.numpy()
    return rows
