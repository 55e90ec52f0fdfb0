"""The configuration of a CG-DETR checkpoint of the reference library (Lighthouse).

Sizes are read from the tensors, and the options must agree with them. What tensors do not show (heads,
prompts in use, limits, clip length, dropout) is read from the options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from amrbench.errors import CheckpointError, did_you_mean, some
from amrbench.types import Checkpoint

UNUSED_PREFIXES = ("txt_position_embed.", "txt_proj_linear.")
"""Tensors that the reference's files hold and its forward pass never reads."""
TEMPORAL_COLUMNS = 2

_FIXED: Mapping[str, object] = {
    "model_name": "cg_detr",
    "ctx_mode": "audio_tef",
    "v_feat_dim": TEMPORAL_COLUMNS,
    "position_embedding": "sine",
    "n_input_proj": 2,
    "span_loss_type": "l1",
}
_ROWS = {
    "width": ("hidden_dim", "saliency_proj1.weight"),
    "feedforward": ("dim_feedforward", "transformer.encoder.layers.0.linear1.weight"),
    "audio_width": ("a_feat_dim", "input_vid_proj.0.LayerNorm.weight"),
    "text_width": ("t_feat_dim", "input_txt_proj.0.LayerNorm.weight"),
    "dummies": ("num_dummies", "dummy_rep_token"),
    "prompts": ("total_prompts", "global_rep_token"),
    "queries": ("num_queries", "query_embed.weight"),
}
"""Sizes, each with its option and the tensor whose first axis shows it."""
_LAYERS = {
    "cross_layers": ("t2v_layers", "transformer.t2v_encoder"),
    "encoder_layers": ("enc_layers", "transformer.encoder"),
    "decoder_layers": ("dec_layers", "transformer.decoder"),
    "dummy_layers": ("dummy_layers", "txtproj_encoder"),
    "sentence_layers": ("sent_layers", "scls_encoder"),
    "moment_layers": ("moment_layers", "transformer.mcls_encoder"),
}
"""Numbers of layers, each with its option and its stack."""
_LAST_SECOND: Mapping[str, float] = {
    "castella": 300.0,
    "clotho-moment": 150.0,
    "unav100-subset": 150.0,
    "tut2017": 150.0,
}
"""Predicted windows of a data set are clipped to this second, whatever the length of the recording."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The configuration of a CG-DETR; widths are numbers of features, `max_...` are numbers of rows."""

    width: int
    heads: int
    feedforward: int
    audio_width: int
    text_width: int
    cross_layers: int
    encoder_layers: int
    decoder_layers: int
    dummy_layers: int
    sentence_layers: int
    moment_layers: int
    dummies: int
    prompts: int
    prompts_used: int
    queries: int
    max_clips: int
    max_words: int
    clip_length: float
    dropout: float
    input_dropout: float


def config_of(checkpoint: Checkpoint) -> Config:
    """Return the configuration of a reference CG-DETR checkpoint.

    Raises:
        CheckpointError: A tensor or option is missing, has the wrong shape or type, or contradicts
            another one.
    """
    for name, expected in _FIXED.items():
        value = _option(checkpoint, name)
        if value != expected:
            raise CheckpointError(
                f"{checkpoint.path}: option {name!r} is {value!r}; only {expected!r} can be read as CG-DETR"
            )
    dropout, input_dropout = (
        _number(checkpoint, name, "from 0 to below 1", lambda value: 0 <= value < 1)
        for name in ("dropout", "input_dropout")
    )
    config = Config(
        **_sizes(checkpoint),
        heads=_count(checkpoint, "nheads"),
        prompts_used=_count(checkpoint, "num_prompts"),
        max_clips=min(_count(checkpoint, "max_v_l"), _count(checkpoint, "max_a_l")),
        max_words=_count(checkpoint, "max_q_l"),
        clip_length=_number(checkpoint, "clip_length", "above 0", lambda value: 0 < value < float("inf")),
        dropout=dropout,
        input_dropout=input_dropout,
    )
    if config.width % config.heads:
        raise CheckpointError(
            f"{checkpoint.path}: option 'nheads' is {config.heads}, "
            f"which does not divide the width {config.width}"
        )
    if config.prompts_used > config.prompts:
        raise CheckpointError(
            f"{checkpoint.path}: option 'num_prompts' is {config.prompts_used}, but there are only "
            f"{config.prompts} prompts ('global_rep_token')"
        )
    return config


def last_second(checkpoint: Checkpoint) -> float:
    """Return the second to which the reference clips predicted windows of its data set.

    Raises:
        CheckpointError: The options name no data set, or one without a known limit.
    """
    name = _option(checkpoint, "dset_name")
    if str(name) not in _LAST_SECOND:
        raise CheckpointError(
            f"{checkpoint.path}: option 'dset_name' is {name!r}; the last second of a window is known for "
            f"{some(_LAST_SECOND)}.{did_you_mean(str(name), _LAST_SECOND)}"
        )
    return _LAST_SECOND[str(name)]


def _sizes(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the sizes that the tensors show; the options must say the same."""
    sizes = {field: _rows(checkpoint, tensor) for field, (_, tensor) in _ROWS.items()}
    sizes["audio_width"] -= TEMPORAL_COLUMNS
    sizes |= {field: _layers(checkpoint, stack) for field, (_, stack) in _LAYERS.items()}
    for field, (option, _) in (_ROWS | _LAYERS).items():
        if _count(checkpoint, option) != sizes[field]:
            raise CheckpointError(
                f"{checkpoint.path}: option {option!r} is {checkpoint.options[option]!r}, "
                f"but the tensors say {sizes[field]}"
            )
    return sizes


def _rows(checkpoint: Checkpoint, name: str) -> int:
    tensor = checkpoint.weights.get(name)
    if tensor is None:
        raise CheckpointError(
            f"{checkpoint.path}: no tensor {name!r}, so this is no CG-DETR checkpoint of the reference."
            f"{did_you_mean(name, checkpoint.weights)}"
        )
    if tensor.ndim == 0:
        raise CheckpointError(f"{checkpoint.path}: tensor {name!r} has shape ()")
    return len(tensor)


def _layers(checkpoint: Checkpoint, stack: str) -> int:
    start = f"{stack}.layers."
    layers = {name[len(start) :].split(".")[0] for name in checkpoint.weights if name.startswith(start)}
    if not layers:
        raise CheckpointError(f"{checkpoint.path}: no tensor '{start}0.*'; the stack {stack!r} is missing")
    missing = [str(index) for index in range(len(layers)) if str(index) not in layers]
    if missing:
        raise CheckpointError(f"{checkpoint.path}: the stack {stack!r} lacks layer {some(missing)}")
    return len(layers)


def _option(checkpoint: Checkpoint, name: str) -> object:
    if name not in checkpoint.options:
        raise CheckpointError(
            f"{checkpoint.path}: no option {name!r} in 'opt'.{did_you_mean(name, checkpoint.options)}"
        )
    return checkpoint.options[name]


def _count(checkpoint: Checkpoint, name: str) -> int:
    value = _option(checkpoint, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(
            f"{checkpoint.path}: option {name!r} is {value!r}; a whole number of at least 1 is needed"
        )
    return value


def _number(checkpoint: Checkpoint, name: str, limits: str, within: Callable[[float], bool]) -> float:
    value = _option(checkpoint, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not within(value):
        raise CheckpointError(f"{checkpoint.path}: option {name!r} is {value!r}; a number {limits} is needed")
    return float(value)
