"""What a CG-DETR checkpoint of the reference library (Lighthouse) says about its model.

The sizes are counted from the tensors; the options beside them must agree. What only the options know
(heads, prompts in use, caps, clip length, dropout) is taken from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amrbench.errors import CheckpointError, did_you_mean, some
from amrbench.types import Checkpoint

# Present in the reference's files and never used by its forward pass.
UNUSED_PREFIXES = ("txt_position_embed.", "txt_proj_linear.")
TEMPORAL_COLUMNS = 2

_FIXED: Mapping[str, object] = {
    "model_name": "cg_detr",
    "ctx_mode": "audio_tef",
    "position_embedding": "sine",
    "n_input_proj": 2,
    "span_loss_type": "l1",
}
# Both ends of predicted windows are clamped to this second, whatever the recording's length.
_LAST_SECOND: Mapping[str, float] = {
    "castella": 300.0,
    "clotho-moment": 150.0,
    "unav100-subset": 150.0,
    "tut2017": 150.0,
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes of a CG-DETR; widths are numbers of features, caps are numbers of rows."""

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


def sizes_of(checkpoint: Checkpoint) -> Sizes:
    """Read the sizes of a reference CG-DETR checkpoint.

    Raises:
        CheckpointError: A tensor or option is missing, has the wrong shape or kind, or contradicts
            another one.
    """
    _check_fixed(checkpoint)
    sizes = Sizes(
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
        clip_length=_length(checkpoint, "clip_length"),
        dropout=_share(checkpoint, "dropout"),
        input_dropout=_share(checkpoint, "input_dropout"),
    )
    _check_agreement(checkpoint, sizes)
    return sizes


def last_second(checkpoint: Checkpoint) -> float:
    """Return the second to which the reference clamps predicted windows of its data set.

    Raises:
        CheckpointError: The options name no data set, or one whose limit is not known.
    """
    name = _option(checkpoint, "dset_name")
    if name not in _LAST_SECOND:
        raise CheckpointError(
            f"{checkpoint.path}: option 'dset_name' is {name!r}; the last second of a window is known for "
            f"{some(_LAST_SECOND)}.{did_you_mean(str(name), _LAST_SECOND)}"
        )
    return _LAST_SECOND[str(name)]


def _check_fixed(checkpoint: Checkpoint) -> None:
    for name, wanted in _FIXED.items():
        value = _option(checkpoint, name)
        if value != wanted:
            raise CheckpointError(
                f"{checkpoint.path}: option {name!r} is {value!r}; only {wanted!r} can be read as CG-DETR"
            )


def _check_agreement(checkpoint: Checkpoint, sizes: Sizes) -> None:
    counted = {
        "hidden_dim": sizes.width,
        "dim_feedforward": sizes.feedforward,
        "a_feat_dim": sizes.audio_width,
        "v_feat_dim": TEMPORAL_COLUMNS,
        "t_feat_dim": sizes.text_width,
        "t2v_layers": sizes.cross_layers,
        "enc_layers": sizes.encoder_layers,
        "dec_layers": sizes.decoder_layers,
        "dummy_layers": sizes.dummy_layers,
        "sent_layers": sizes.sentence_layers,
        "moment_layers": sizes.moment_layers,
        "num_dummies": sizes.dummies,
        "total_prompts": sizes.prompts,
        "num_queries": sizes.queries,
    }
    for name, size in counted.items():
        if _count(checkpoint, name) != size:
            raise CheckpointError(
                f"{checkpoint.path}: option {name!r} is {checkpoint.options[name]!r}, "
                f"but the tensors say {size}"
            )
    if sizes.width % sizes.heads:
        raise CheckpointError(
            f"{checkpoint.path}: option 'nheads' is {sizes.heads}, "
            f"which does not divide the width {sizes.width}"
        )
    if sizes.prompts_used > sizes.prompts:
        raise CheckpointError(
            f"{checkpoint.path}: option 'num_prompts' is {sizes.prompts_used}, but there are only "
            f"{sizes.prompts} prompts ('global_rep_token')"
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
    found = {name[len(start) :].split(".")[0] for name in checkpoint.weights if name.startswith(start)}
    if not found:
        raise CheckpointError(f"{checkpoint.path}: no tensor '{start}0.*'; the stack {stack!r} is missing")
    missing = [str(index) for index in range(len(found)) if str(index) not in found]
    if missing:
        raise CheckpointError(f"{checkpoint.path}: the stack {stack!r} lacks layer {some(missing)}")
    return len(found)


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
            f"{checkpoint.path}: option {name!r} is {value!r}; a whole number from 1 is needed"
        )
    return value


def _share(checkpoint: Checkpoint, name: str) -> float:
    value = _option(checkpoint, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise CheckpointError(
            f"{checkpoint.path}: option {name!r} is {value!r}; a share from 0 up to 1 is needed"
        )
    return float(value)


def _length(checkpoint: Checkpoint, name: str) -> float:
    value = _option(checkpoint, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise CheckpointError(f"{checkpoint.path}: option {name!r} is {value!r}; a number above 0 is needed")
    return float(value)
