"""Random weights in the layout of published files, with small sizes; and noise to encode."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

from amrbench.types import Rows
from amrbench_plugins.backends.aisfx_minilm import cnn
from amrbench_plugins.backends.m2d_clap import vit
from amrbench_plugins.backends.mel import slaney_filters
from amrbench_plugins.backends.ms_clap import htsat
from tests.plugins.backends.recorded_text import weights_by_name

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "dog",
    "bark",
    "##s",
    "##ing",
    "rain",
    "!",
    "une",
    "bete",
    "雨",
]
AISFX_WIDTHS = (4, 8, 12, 16)
M2D_AUDIO = vit.Config(width=64, depth=2, heads=1, mlp=96, positions=310, semantic_mlp=64)
M2D_TEXT = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}


def noise(rate: int, seconds: float, seed: int = 0) -> Rows:
    """Return white noise (samples,)."""
    return (0.1 * np.random.default_rng(seed).standard_normal(round(rate * seconds))).astype(np.float32)


def random(shapes: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Return tensors of the same shapes with random numbers."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(tensor.shape, generator=generator)
        / max(1, tensor.shape[-1] if tensor.dim() else 1) ** 0.5
        for name, tensor in shapes.items()
    }


def bert_names(longest: int = 12, **sizes: int) -> dict[str, Tensor]:
    """Return the state of a BERT with the published names."""
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=longest, **sizes)
    return BertModel(config, add_pooling_layer=False).state_dict()


def gpt2_names(longest: int = 90, **sizes: int) -> dict[str, Tensor]:
    """Return the state of a GPT-2 with the published names."""
    return GPT2Model(GPT2Config(vocab_size=len(CLAP_TOKENS), n_positions=longest, **sizes)).state_dict()


def m2d_weights(
    seed: int = 0, *, audio_config: vit.Config = M2D_AUDIO, text_sizes: Mapping[str, int] = M2D_TEXT
) -> dict[str, Tensor]:
    audio = random(vit.AudioEncoder(audio_config).state_dict(), seed)
    audio["norm_stats"] = torch.tensor([-7.261779, 4.351151])
    text = random(bert_names(**text_sizes), seed + 1)
    pooler = {"pooler.dense.weight": torch.zeros(64, 64), "pooler.dense.bias": torch.zeros(64)}
    return {
        **{f"backbone.{name}": tensor for name, tensor in audio.items()},
        **{f"text_encoder.text_encoder.{name}": tensor for name, tensor in (text | pooler).items()},
    }


def m2d_files(folder: Path, weights: dict[str, Tensor] | None = None) -> tuple[Path, Path]:
    """Write weights and vocabulary, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    file, vocabulary = folder / "checkpoint-30.pth", folder / "vocab.txt"
    torch.save({"model": m2d_weights() if weights is None else weights, "args": Namespace(lr=0.1)}, file)
    vocabulary.write_text("\n".join(WORDS) + "\n", "utf-8")
    return file, vocabulary


def aisfx_weights() -> dict[str, Tensor]:
    """Return the audio side of aisfx with random numbers that depend on the name of their tensor alone."""
    weights = weights_by_name(cnn.AudioEncoder(AISFX_WIDTHS).state_dict())
    variances = {name: tensor.abs() + 0.5 for name, tensor in weights.items() if name.endswith("var")}
    counts = {name: torch.tensor(3) for name in weights if name.endswith("num_batches_tracked")}
    return weights | variances | counts


def aisfx_files(folder: Path, weights: Mapping[str, Tensor] | None = None) -> tuple[Path, Path]:
    """Write the weights of aisfx and the folder of MiniLM, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    audio, sentences = folder / "checkpoint.pth", folder / "minilm"
    sentences.mkdir(exist_ok=True)
    named = {f"embedding_net.{name}": tensor for name, tensor in (weights or aisfx_weights()).items()}
    classifier = {"fc.0.0.weight": torch.zeros(5, 16)}
    # As published: the weights, and the number and size of each classifier, a number of which is of numpy.
    torch.save((OrderedDict(named | classifier), {"prosfx": (np.int64(0), 78)}), audio)
    names = bert_names(64, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96)
    pooler = {"pooler.dense.weight": torch.zeros(64, 64), "pooler.dense.bias": torch.zeros(64)}
    save_file(random(names) | pooler, sentences / "model.safetensors")
    (sentences / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    return audio, sentences


def clap_weights(seed: int = 0) -> dict[str, Tensor]:
    """Return weights of MS-CLAP 2023 with all names of the published file."""
    audio = random(htsat.Htsat(CLAP_AUDIO).state_dict(), seed)
    audio["bn0.running_var"] = audio["bn0.running_var"].abs() + 0.5
    audio |= dft_kernels(1024)
    audio["logmel_extractor.melW"] = slaney_filters(32000, 1024, 64, low=50, high=14000)
    audio["bn0.num_batches_tracked"] = torch.tensor(3)
    for stage, depth in enumerate(CLAP_AUDIO.depths):
        for block in range(depth):
            audio[f"layers.{stage}.blocks.{block}.attn.relative_position_index"] = torch.zeros(64, 64)
    audio |= {"tscam_conv.weight": torch.zeros(5, 4), "head.weight": torch.zeros(5, 5)}
    text = random(gpt2_names(n_embd=64, n_layer=2, n_head=1), seed + 1)
    text["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    return {
        **{f"audio_encoder.base.htsat.{name}": tensor for name, tensor in audio.items()},
        **{f"caption_encoder.base.{name}": tensor for name, tensor in text.items()},
        "audio_encoder.projection.linear1.weight": torch.zeros(3, 3),
        "logit_scale": torch.tensor(4.6),
    }


def dft_kernels(fft: int) -> dict[str, Tensor]:
    """Return the kernels of the published spectrogram: cosines and sines under a Hann window."""
    samples = torch.arange(fft, dtype=torch.float64)
    window = 0.5 - 0.5 * torch.cos(2 * torch.pi * samples / fft)
    angles = 2 * torch.pi * torch.outer(torch.arange(fft // 2 + 1, dtype=torch.float64), samples) / fft
    parts = {"real": angles.cos(), "imag": -angles.sin()}
    return {
        f"spectrogram_extractor.stft.conv_{part}.weight": (value * window).float()[:, None]
        for part, value in parts.items()
    }


def clap_files(folder: Path, weights: dict[str, Tensor] | None = None) -> tuple[Path, Path, Path]:
    """Write weights and tables, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "CLAP_weights_2023.pth"
    torch.save({"model": clap_weights() if weights is None else weights}, file)
    (folder / "vocab.json").write_text(json.dumps(CLAP_TOKENS))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(CLAP_MERGES) + "\n", "utf-8")
    return file, folder / "vocab.json", folder / "merges.txt"


CLAP_AUDIO = htsat.Config(width=8, depths=(2, 2, 2, 2), heads=(1, 2, 2, 4))
CLAP_MERGES = ["d o", "do g", "Ġ dog", "Ġ a", "b a", "ba r", "bar k", "Ġ bark", "Ã ©"]
_SEEN = [*range(33, 127), *range(161, 173), *range(174, 256)]
_HIDDEN = iter(range(256, 512))
_LETTERS = [chr(byte) if byte in _SEEN else chr(next(_HIDDEN)) for byte in range(256)]
_TOKENS = ["!", *_LETTERS, *("".join(merge.split()) for merge in CLAP_MERGES), "<|endoftext|>"]
CLAP_TOKENS = {token: number for number, token in enumerate(dict.fromkeys(_TOKENS))}
