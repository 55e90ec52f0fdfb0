"""Small contrastive audio-text encoders: stand-ins where pre-trained ones are not at hand.

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
import numpy.typing as npt
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from amrbench.errors import DataError
from amrbench_plugins.backends.spectral import FRAMES_A_SECOND, MELS, RATE, LogMel, rows_in

WEIGHTS = Path(__file__).parent / "weights"
_WORD = re.compile(r"[a-z']+")
_STRIDE = 2
_CODE = 1
"""Raised when the same weights give other rows."""


@dataclass(frozen=True)
class Settings:
    """Sizes of an encoder pair."""

    width: int
    """Width of the shared space."""
    channels: int
    """Channels of the audio network."""
    dilations: tuple[int, ...]
    """Dilation of each residual block over frames; none makes the encoder blind to rhythm."""
    context: int
    """Rows (seconds) that the last convolution sees; odd."""
    buckets: int
    """Size of the table of hashed pieces of words."""
    piece_width: int

    def __post_init__(self) -> None:
        """Raise ValueError when the sizes cannot be built."""
        sizes = (self.width, self.channels, *self.dilations, self.context, self.buckets, self.piece_width)
        if min(sizes) < 1 or self.context % 2 == 0:
            raise ValueError("sizes must be at least 1, and context odd")


_SETTINGS = "settings"
_SETTINGS_READER = TypeAdapter(Settings)


@lru_cache(maxsize=65536)
def pieces(word: str, buckets: int) -> tuple[int, ...]:
    """Return the hashed table rows of a word: itself and its 3- to 5-letter pieces with end marks."""
    marked = f"<{word}>"
    parts = [marked] + [marked[at : at + n] for n in (3, 4, 5) for at in range(len(marked) - n + 1)]
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

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        channels = settings.channels
        self.register_buffer("mean", torch.zeros(MELS))
        self.register_buffer("scale", torch.ones(MELS))
        self.stem = nn.Conv1d(MELS, channels, 5, stride=_STRIDE, padding=2)
        self.blocks = nn.ModuleList(_Residual(channels, dilation) for dilation in settings.dilations)
        self.pool = nn.Linear(2 * channels, 2 * channels)
        self.context = nn.Conv1d(2 * channels, 2 * channels, settings.context, padding=settings.context // 2)
        self.out = nn.Linear(2 * channels, settings.width)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (B, T * FRAMES_A_SECOND, MELS) to unit rows (B, T, width)."""
        x = ((frames - self.mean) * self.scale).transpose(1, 2)
        x = functional.gelu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        seconds = x.reshape(*x.shape[:2], -1, FRAMES_A_SECOND // _STRIDE)
        x = torch.cat([seconds.mean(3), seconds.amax(3)], 1).transpose(1, 2)
        x = functional.gelu(self.pool(x))
        x = x + functional.gelu(self.context(x.transpose(1, 2))).transpose(1, 2)
        return functional.normalize(self.out(x), dim=-1)


class TextNet(nn.Module):
    """Hashed pieces of words to one row a word, and one row for the sentence."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        wide = 2 * settings.piece_width
        self.buckets = settings.buckets
        self.table = nn.EmbeddingBag(settings.buckets, settings.piece_width, mode="mean")
        self.rise = nn.Linear(settings.piece_width, wide)
        self.mix = nn.Conv1d(wide, wide, 3, padding=1)
        self.out = nn.Linear(wide, settings.width)
        self.weight = nn.Linear(wide, 1)

    def _words(self, sentences: Sequence[Sequence[str]]) -> Tensor:
        parts = [pieces(word, self.buckets) for sentence in sentences for word in sentence]
        offsets = np.cumsum([0] + [len(part) for part in parts[:-1]])
        flat = torch.tensor([row for part in parts for row in part])
        rows: Tensor = self.table(flat, torch.from_numpy(offsets))
        return rows

    def forward(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Map sentences of words to unit rows.

        Returns:
            words (B, L, width) with zeros after the last word, and sentences (B, width).
        """
        lengths = [len(sentence) for sentence in sentences]
        flat = torch.split(self._words(sentences), lengths)
        x = nn.utils.rnn.pad_sequence(list(flat), batch_first=True)
        mask = torch.arange(x.shape[1])[None] < torch.tensor(lengths)[:, None]
        x = functional.gelu(self.rise(x)) * mask[..., None]
        x = x + functional.gelu(self.mix(x.transpose(1, 2))).transpose(1, 2)
        tokens = self.out(x)
        share = self.weight(x).squeeze(-1).masked_fill(~mask, -torch.inf).softmax(1)
        sentence = functional.normalize((tokens * share[..., None]).sum(1), dim=-1)
        return functional.normalize(tokens, dim=-1) * mask[..., None], sentence


class MiniClap(nn.Module):
    """The two networks and the temperature that compares them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.audio = AudioNet(settings)
        self.text = TextNet(settings)
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.silence = nn.Parameter(torch.zeros(()))


class MiniClapBackend:
    """Feature backend around a trained pair of networks; one waveform or sentence at a time."""

    hop = 1.0
    rate = RATE

    def __init__(self, name: str, network: MiniClap, digest: str) -> None:
        """Wrap networks.

        Args:
            name: name of the backend.
            network: the networks.
            digest: hash of the weights' file.
        """
        self.name = name
        self.audio_width = self.text_width = network.settings.width
        self._network = network.eval().requires_grad_(False)
        self._front = LogMel()
        self._digest = digest

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(each.numel() for each in self._network.parameters())

    def audio(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return unit rows (T, width), one for each whole second of a waveform (samples,) at `rate`."""
        count = rows_in(len(waveform))
        if not count:
            return np.zeros((0, self.audio_width), np.float32)
        with torch.inference_mode():
            frames = self._front(torch.from_numpy(np.ascontiguousarray(waveform)))
            rows: Tensor = self._network.audio(frames[None, : count * FRAMES_A_SECOND])
        return rows[0].numpy()

    def text(self, sentences: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Return unit rows (L, width) of each sentence: its words, then the sentence as a whole."""
        return [self._sentence(sentence) for sentence in sentences]

    def _sentence(self, sentence: str) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            tokens, whole = self._network.text([words(sentence)])
        return torch.cat([tokens[0], whole]).numpy()

    def fingerprint(self) -> str:
        """Return a hash of weights and settings."""
        return self._digest


def save(network: MiniClap, path: Path) -> None:
    """Write networks with their settings; numbers are rounded to float16, which halves the file."""
    halves = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(halves, path, {_SETTINGS: json.dumps(asdict(network.settings), sort_keys=True)})


def load(name: str, path: Path | None = None) -> MiniClapBackend:
    """Return the backend of a weights file.

    Args:
        name: name of the backend.
        path: the file; without it, the one that is shipped under this name.

    Raises:
        DataError: the file is missing, damaged, or no weights file of such networks.
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
        settings = _settings(stored.metadata() or {})
        weights = {key: stored.get_tensor(key).float() for key in stored.keys()}  # noqa: SIM118
    # Without memory of its own, so that a foreign file cannot ask for any amount of it.
    with torch.device("meta"):
        network = MiniClap(settings)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    if {key: value.shape for key, value in weights.items()} != shapes:
        raise ValueError("names or shapes of the tensors do not fit the settings")
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise ValueError("some numbers are not finite")
    network.load_state_dict(weights, assign=True)
    return network


def _settings(metadata: dict[str, str]) -> Settings:
    if _SETTINGS not in metadata:
        raise ValueError(f"it has no metadata {_SETTINGS!r}")
    try:
        return _SETTINGS_READER.validate_json(metadata[_SETTINGS], strict=True, extra="forbid")
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, (_SETTINGS, *fault["loc"])))
        raise ValueError(f"metadata {place}: {fault['msg']}") from error
