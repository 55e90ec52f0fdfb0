"""Options and sizes in the checkpoints of the reference library (Lighthouse), whichever model they hold.

Sizes are read from the tensors, and the options must agree with them. What tensors do not show (heads,
limits, clip length, dropout) is read from the options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from amrbench.errors import CheckpointError, did_you_mean, some
from amrbench.types import Checkpoint

UNUSED_PREFIXES = ("txt_position_embed.", "txt_proj_linear.")
"""Tensors that the reference's files hold and its forward pass never reads."""
TEMPORAL_COLUMNS = 2

_FIXED: Mapping[str, object] = {
    "ctx_mode": "audio_tef",
    "v_feat_dim": TEMPORAL_COLUMNS,
    "position_embedding": "sine",
    "n_input_proj": 2,
    "span_loss_type": "l1",
}
Sources = Mapping[str, tuple[str, str]]
"""Fields of a configuration, each with its option, and with the tensor or stack that shows it."""
_ROWS: Sources = {
    "width": ("hidden_dim", "saliency_proj1.weight"),
    "feedforward": ("dim_feedforward", "transformer.encoder.layers.0.linear1.weight"),
    "audio_width": ("a_feat_dim", "input_vid_proj.0.LayerNorm.weight"),
    "text_width": ("t_feat_dim", "input_txt_proj.0.LayerNorm.weight"),
    "queries": ("num_queries", "query_embed.weight"),
}
_LAYERS: Sources = {
    "encoder_layers": ("enc_layers", "transformer.encoder"),
    "decoder_layers": ("dec_layers", "transformer.decoder"),
}
_LAST_SECOND: Mapping[str, float] = {
    "castella": 300.0,
    "clotho-moment": 150.0,
    "unav100-subset": 150.0,
    "tut2017": 150.0,
}
"""Predicted windows of a data set are clipped to this second, whatever the length of the recording."""


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """What the models of the reference share; widths are numbers of features, `max_...` numbers of rows."""

    width: int
    heads: int
    feedforward: int
    audio_width: int
    text_width: int
    encoder_layers: int
    decoder_layers: int
    queries: int
    max_clips: int
    max_words: int
    clip_length: float
    dropout: float
    input_dropout: float


@dataclass(frozen=True)
class ReferenceModel:
    """One model of the reference."""

    option: str
    """Its `model_name`."""
    title: str
    """Its name in messages."""
    tensor: str
    """A tensor that no other model of the reference has."""
    rows: Sources
    """Further sizes that the first axis of a tensor shows."""
    layers: Sources
    """Further numbers of layers."""


class OptionReader:
    """Reads the configuration of a checkpoint that holds one model.

    Every method raises CheckpointError where a tensor or option is missing, has the wrong shape or type, or
    contradicts another one.
    """

    def __init__(self, checkpoint: Checkpoint, model: ReferenceModel) -> None:
        """Refuse checkpoints of other models, and settings of the reference that cannot be read."""
        self.checkpoint, self.model = checkpoint, model
        for name, expected in {"model_name": model.option, **_FIXED}.items():
            value = option_of(checkpoint, name)
            if value != expected:
                raise self.error(
                    f"option {name!r} is {value!r}; only {expected!r} can be read as {model.title}"
                )
        self._tensor(model.tensor)

    def error(self, text: str) -> CheckpointError:
        """Return an error that names the file."""
        return CheckpointError(f"{self.checkpoint.path}: {text}")

    def common(self) -> dict[str, Any]:
        """Return the fields of a `BaseConfig`, and those of further sizes."""
        sizes = self._sizes()
        heads = self.count("nheads")
        if sizes["width"] % heads:
            raise self.error(f"option 'nheads' is {heads}, which does not divide the width {sizes['width']}")
        return {
            **sizes,
            "heads": heads,
            "max_clips": min(self.count("max_v_l"), self.count("max_a_l")),
            "max_words": self.count("max_q_l"),
            "clip_length": self._number("clip_length", "above 0", lambda value: 0 < value < float("inf")),
            **{
                name: self._number(name, "from 0 to below 1", lambda value: 0 <= value < 1)
                for name in ("dropout", "input_dropout")
            },
        }

    def count(self, name: str) -> int:
        """Return an option that is a whole number of at least 1."""
        value = option_of(self.checkpoint, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(f"option {name!r} is {value!r}; a whole number of at least 1 is needed")
        return value

    def _number(self, name: str, limits: str, within: Callable[[float], bool]) -> float:
        value = option_of(self.checkpoint, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not within(value):
            raise self.error(f"option {name!r} is {value!r}; a number {limits} is needed")
        return float(value)

    def _sizes(self) -> dict[str, int]:
        """Return the sizes that the tensors show; the options must say the same."""
        rows, layers = {**_ROWS, **self.model.rows}, {**_LAYERS, **self.model.layers}
        sizes = {field: self._rows(tensor) for field, (_, tensor) in rows.items()}
        sizes["audio_width"] -= TEMPORAL_COLUMNS
        sizes |= {field: self._layers(stack) for field, (_, stack) in layers.items()}
        for field, (option, _) in (rows | layers).items():
            if self.count(option) != sizes[field]:
                value = self.checkpoint.options[option]
                raise self.error(f"option {option!r} is {value!r}, but the tensors say {sizes[field]}")
        return sizes

    def _tensor(self, name: str) -> Tensor:
        weights = self.checkpoint.weights
        if name not in weights:
            raise self.error(
                f"no tensor {name!r}, so this is no {self.model.title} checkpoint of the reference."
                f"{did_you_mean(name, weights)}"
            )
        return weights[name]

    def _rows(self, name: str) -> int:
        tensor = self._tensor(name)
        if tensor.ndim == 0:
            raise self.error(f"tensor {name!r} has shape ()")
        return len(tensor)

    def _layers(self, stack: str) -> int:
        start = f"{stack}.layers."
        names = [name for name in self.checkpoint.weights if name.startswith(start)]
        layers = {name[len(start) :].split(".")[0] for name in names}
        if not layers:
            raise self.error(f"no tensor '{start}0.*'; the stack {stack!r} is missing")
        missing = [str(index) for index in range(len(layers)) if str(index) not in layers]
        if missing:
            raise self.error(f"the stack {stack!r} lacks layer {some(missing)}")
        return len(layers)


def option_of(checkpoint: Checkpoint, name: str) -> object:
    """Return an option; CheckpointError if there is none of this name."""
    if name not in checkpoint.options:
        raise CheckpointError(
            f"{checkpoint.path}: no option {name!r} in 'opt'.{did_you_mean(name, checkpoint.options)}"
        )
    return checkpoint.options[name]


def last_second(checkpoint: Checkpoint) -> float:
    """Return the second to which the reference clips predicted windows of its data set.

    Raises:
        CheckpointError: The options name no data set, or one without a known limit.
    """
    name = option_of(checkpoint, "dset_name")
    if str(name) not in _LAST_SECOND:
        raise CheckpointError(
            f"{checkpoint.path}: option 'dset_name' is {name!r}; the last second of a window is known for "
            f"{some(_LAST_SECOND)}.{did_you_mean(str(name), _LAST_SECOND)}"
        )
    return _LAST_SECOND[str(name)]
