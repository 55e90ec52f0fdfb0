"""Small contrastive audio-text encoders that stand in for pre-trained ones.

As in CLAP (Elizalde et al. 2023), an audio and a text encoder share one space. Unlike CLAP they are tiny,
know only the procedural sounds, and give one audio row a second and one text row a word, with the sentence as
the last row.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from amrbench.errors import DataError, dotted
from amrbench.slots.features import FeatureBackend
from amrbench.types import Rows
from amrbench_plugins.backends.spectral import FRAMES_A_SECOND, MELS, RATE, LogMel

WEIGHTS = Path(__file__).parent / "weights"
_WORD = re.compile(r"[a-z']+")
_STRIDE = 2
_CODE = 1
"""Raised when the same weights give other rows."""


@dataclass(frozen=True)
class Config:
    """Sizes of an encoder pair."""

    width: int
    """Width of the shared space."""
    channels: int
    """Channels of the audio network."""
    dilations: tuple[int, ...]
    """Dilation of each residual block over frames; without blocks the encoder cannot tell rhythms apart."""
    context: int
    """Rows (seconds) that the last convolution sees; odd."""
    buckets: int
    """Size of the table of hashed pieces of words."""
    piece_width: int

    def __post_init__(self) -> None:
        """Raise ValueError if a network cannot have these sizes."""
        sizes = (self.width, self.channels, *self.dilations, self.context, self.buckets, self.piece_width)
        if min(sizes) < 1 or self.context % 2 == 0:
            raise ValueError("sizes must be at least 1, and context odd")


_METADATA_KEY = "settings"
"""Of the config in the metadata of a weights file."""
_CONFIG_READER = TypeAdapter(Config)


@lru_cache(maxsize=65536)
def pieces(word: str, buckets: int) -> tuple[int, ...]:
    """Return the hashed table rows of a word: itself and its 3- to 5-letter pieces with end marks."""
    marked = f"<{word}>"
    parts = [marked] + [marked[start : start + n] for n in (3, 4, 5) for start in range(len(marked) - n + 1)]
    digests = (hashlib.blake2b(part.encode(), digest_size=8).digest() for part in parts)
    return tuple(int.from_bytes(digest, "little") % buckets for digest in digests)


def words(sentence: str) -> list[str]:
    """Return the lower-case words of a sentence; a sentence without letters has one empty word."""
    return _WORD.findall(sentence.lower()) or [""]


class _Residual(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation, groups=channels)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, frames) to the same shape."""
        mixed: Tensor = self.out(functional.gelu(self.mix(x)))
        return x + mixed


class AudioNet(nn.Module):
    """Log-mel frames to one row a second."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = config.channels
        self.register_buffer("mean", torch.zeros(MELS))
        self.register_buffer("scale", torch.ones(MELS))
        self.stem = nn.Conv1d(MELS, channels, 5, stride=_STRIDE, padding=2)
        self.blocks = nn.ModuleList(_Residual(channels, dilation) for dilation in config.dilations)
        self.pool = nn.Linear(2 * channels, 2 * channels)
        self.context = nn.Conv1d(2 * channels, 2 * channels, config.context, padding=config.context // 2)
        self.out = nn.Linear(2 * channels, config.width)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (B, T * FRAMES_A_SECOND, MELS) to unit rows (B, T, width)."""
        x = ((frames - self.mean) * self.scale).transpose(1, 2)
        x = functional.gelu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        seconds = x.reshape(*x.shape[:2], -1, FRAMES_A_SECOND // _STRIDE)  # (B, channels, T, frames)
        x = torch.cat([seconds.mean(3), seconds.amax(3)], 1).transpose(1, 2)  # (B, T, 2 * channels)
        x = functional.gelu(self.pool(x))
        x = x + functional.gelu(self.context(x.transpose(1, 2))).transpose(1, 2)
        return functional.normalize(self.out(x), dim=-1)


class TextNet(nn.Module):
    """Hashed pieces of words to one row a word, and one row for the sentence."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden = 2 * config.piece_width
        self.buckets = config.buckets
        self.table = nn.EmbeddingBag(config.buckets, config.piece_width, mode="mean")
        self.rise = nn.Linear(config.piece_width, hidden)
        self.mix = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.out = nn.Linear(hidden, config.width)
        self.weight = nn.Linear(hidden, 1)

    def forward(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Map sentences of words to unit rows.

        Returns:
            words (B, L, width) with zeros after the last word, and sentences (B, width).
        """
        lengths = [len(sentence) for sentence in sentences]
        parts = [pieces(word, self.buckets) for sentence in sentences for word in sentence]
        offsets = np.cumsum([0] + [len(part) for part in parts[:-1]])
        rows = self.table(torch.tensor([row for part in parts for row in part]), torch.from_numpy(offsets))
        x = nn.utils.rnn.pad_sequence(list(torch.split(rows, lengths)), batch_first=True)
        mask = torch.arange(x.shape[1])[None] < torch.tensor(lengths)[:, None]
        x = functional.gelu(self.rise(x)) * mask[..., None]
        x = x + functional.gelu(self.mix(x.transpose(1, 2))).transpose(1, 2)
        tokens = self.out(x)
        weights = self.weight(x).squeeze(-1).masked_fill(~mask, -torch.inf).softmax(1)
        sentence = functional.normalize((tokens * weights[..., None]).sum(1), dim=-1)
        return functional.normalize(tokens, dim=-1) * mask[..., None], sentence


class MiniClap(nn.Module):
    """The two networks and the temperature of their comparison."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.audio = AudioNet(config)
        self.text = TextNet(config)
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.silence = nn.Parameter(torch.zeros(()))


class MiniClapBackend(FeatureBackend):
    """Feature backend around a trained pair of networks; one waveform or sentence at a time."""

    hop = 1.0
    rate = RATE

    def __init__(self, name: str, network: MiniClap, digest: str) -> None:
        self.name = name
        self.audio_width = self.text_width = network.config.width
        self._network = network.eval().requires_grad_(False)
        self._front_end = LogMel()
        self._digest = digest

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(parameter.numel() for parameter in self._network.parameters())

    @override
    def audio(self, waveform: Rows) -> Rows:
        count = len(waveform) // RATE
        if not count:
            return np.zeros((0, self.audio_width), np.float32)
        with torch.inference_mode():
            frames = self._front_end(torch.from_numpy(np.ascontiguousarray(waveform)))
            rows: Tensor = self._network.audio(frames[None, : count * FRAMES_A_SECOND])
        return rows[0].numpy()

    @override
    @torch.inference_mode()
    def text(self, sentences: Sequence[str]) -> list[Rows]:
        """Return unit rows (L, width) of each sentence: its words, then the sentence."""
        outputs = [self._network.text([words(sentence)]) for sentence in sentences]
        return [torch.cat([tokens[0], sentence]).numpy() for tokens, sentence in outputs]

    @override
    def fingerprint(self) -> str:
        return self._digest


def save(network: MiniClap, path: Path) -> None:
    """Write networks with their config; numbers are rounded to float16, which halves the file."""
    halves = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(halves, path, {_METADATA_KEY: json.dumps(asdict(network.config), sort_keys=True)})


def load(name: str, path: Path | None = None) -> MiniClapBackend:
    """Return the backend of a weights file.

    Args:
        name: Name of the backend.
        path: The file; by default the one that is shipped under this name.

    Raises:
        DataError: The file is missing, damaged, or not a weights file of such networks.
    """
    file = WEIGHTS / f"{name}.safetensors" if path is None else path
    remedy = (
        "Install amrbench again, or make the file anew with "
        f"`python -m amrbench_plugins.backends.train_mini_clap {name} {file}`."
    )
    try:
        digest = hashlib.sha256(file.read_bytes())
        network = _read(file)
    except OSError as error:
        raise DataError(
            f"{file}: the weights of encoder {name!r} cannot be read ({error.strerror}). {remedy}"
        ) from error
    except (SafetensorError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: no weights for encoder {name!r}, or damaged: {reason}. {remedy}") from error
    digest.update(bytes([_CODE]))
    return MiniClapBackend(name, network, digest.hexdigest()[:16])


def _read(file: Path) -> MiniClap:
    with safe_open(file, "pt") as stored:
        metadata = stored.metadata() or {}
        weights = {key: stored.get_tensor(key).float() for key in stored.keys()}  # noqa: SIM118
    if _METADATA_KEY not in metadata:
        raise ValueError(f"it has no metadata {_METADATA_KEY!r}")
    try:
        config = _CONFIG_READER.validate_json(metadata[_METADATA_KEY], strict=True, extra="forbid")
    except ValidationError as error:
        fault = error.errors()[0]
        path = dotted((_METADATA_KEY, *fault["loc"]))
        raise ValueError(f"metadata {path}: {fault['msg']}") from error
    # On the device "meta" the config of a foreign file cannot ask for any amount of memory.
    with torch.device("meta"):
        network = MiniClap(config)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    if {key: value.shape for key, value in weights.items()} != shapes:
        raise ValueError(f"names or shapes of the tensors do not fit the {_METADATA_KEY}")
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise ValueError("some numbers are not finite")
    network.load_state_dict(weights, assign=True)
    return network
