"""The configuration of a CG-DETR checkpoint of the reference library (Lighthouse).

Sizes are read from the tensors, and the options must agree with them. What tensors do not show (heads,
prompts in use, limits, clip length, dropout) is read from the options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amrbench.errors import CheckpointError, did_you_mean, some
from amrbench.types import Checkpoint

UNUSED_PREFIXES = ("txt_position_embed.", "txt_proj_linear.")
"""Tensors that the reference's files hold and its forward pass never reads."""
TEMPORAL_COLUMNS = 2

_FIXED: Mapping[str, object] = {
    "model_name": "cg_detr",
    "ctx_mode": "audio_tef",
    "position_embedding": "sine",
    "n_input_proj": 2,
    "span_loss_type": "l1",
}
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
    _check_fixed(checkpoint)
    config = Config(
        width=_axis(checkpoint, "saliency_proj1.weight", 0),
        feedforward=_axis(checkpoint, "transformer.encoder.layers.0.linear1.weight", 0),
        audio_width=_axis(checkpoint, "input_vid_proj.0.LayerNorm.weight", 0) - TEMPORAL_COLUMNS,
        text_width=_axis(checkpoint, "input_txt_proj.0.LayerNorm.weight", 0),
        cross_layers=_layers(checkpoint, "transformer.t2v_encoder"),
        encoder_layers=_layers(checkpoint, "transformer.encoder"),
        decoder_layers=_layers(checkpoint, "transformer.decoder"),
        dummy_layers=_layers(checkpoint, "txtproj_encoder"),
        sentence_layers=_layers(checkpoint, "scls_encoder"),
        moment_layers=_layers(checkpoint, "transformer.mcls_encoder"),
        dummies=_axis(checkpoint, "dummy_rep_token", 0),
        prompts=_axis(checkpoint, "global_rep_token", 0),
        queries=_axis(checkpoint, "query_embed.weight", 0),
        heads=_count(checkpoint, "nheads"),
        prompts_used=_count(checkpoint, "num_prompts"),
        max_clips=min(_count(checkpoint, "max_v_l"), _count(checkpoint, "max_a_l")),
        max_words=_count(checkpoint, "max_q_l"),
        clip_length=_positive(checkpoint, "clip_length"),
        dropout=_probability(checkpoint, "dropout"),
        input_dropout=_probability(checkpoint, "input_dropout"),
    )
    _check_agreement(checkpoint, config)
    return config


def last_second(checkpoint: Checkpoint) -> float:
    """Return the second to which the reference clips predicted windows of its data set.

    Raises:
        CheckpointError: The options name no data set, or one without a known limit.
    """
    name = _option(checkpoint, "dset_name")
    if name not in _LAST_SECOND:
        raise CheckpointError(
            f"{checkpoint.path}: option 'dset_name' is {name!r}; the last second of a window is known for "
            f"{some(_LAST_SECOND)}.{did_you_mean(str(name), _LAST_SECOND)}"
        )
    return _LAST_SECOND[str(name)]


def _check_fixed(checkpoint: Checkpoint) -> None:
    for name, expected in _FIXED.items():
        value = _option(checkpoint, name)
        if value != expected:
            raise CheckpointError(
                f"{checkpoint.path}: option {name!r} is {value!r}; only {expected!r} can be read as CG-DETR"
            )


def _check_agreement(checkpoint: Checkpoint, config: Config) -> None:
    counted = {
        "hidden_dim": config.width,
        "dim_feedforward": config.feedforward,
        "a_feat_dim": config.audio_width,
        "v_feat_dim": TEMPORAL_COLUMNS,
        "t_feat_dim": config.text_width,
        "t2v_layers": config.cross_layers,
        "enc_layers": config.encoder_layers,
        "dec_layers": config.decoder_layers,
        "dummy_layers": config.dummy_layers,
        "sent_layers": config.sentence_layers,
        "moment_layers": config.moment_layers,
        "num_dummies": config.dummies,
        "total_prompts": config.prompts,
        "num_queries": config.queries,
    }
    for name, size in counted.items():
        if _count(checkpoint, name) != size:
            raise CheckpointError(
                f"{checkpoint.path}: option {name!r} is {checkpoint.options[name]!r}, "
                f"but the tensors say {size}"
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


def _axis(checkpoint: Checkpoint, name: str, axis: int) -> int:
    tensor = checkpoint.weights.get(name)
    if tensor is None:
        raise CheckpointError(
            f"{checkpoint.path}: no tensor {name!r}, so this is no CG-DETR checkpoint of the reference."
            f"{did_you_mean(name, checkpoint.weights)}"
        )
    if tensor.ndim <= axis:
        raise CheckpointError(f"{checkpoint.path}: tensor {name!r} has shape {tuple(tensor.shape)}")
    return tensor.shape[axis]


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


def _probability(checkpoint: Checkpoint, name: str) -> float:
    value = _option(checkpoint, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise CheckpointError(
            f"{checkpoint.path}: option {name!r} is {value!r}; a number from 0 to below 1 is needed"
        )
    return float(value)


def _positive(checkpoint: Checkpoint, name: str) -> float:
    value = _option(checkpoint, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise CheckpointError(f"{checkpoint.path}: option {name!r} is {value!r}; a number above 0 is needed")
    return float(value)
