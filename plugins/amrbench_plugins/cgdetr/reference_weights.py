"""CG-DETR weights of the reference library, put into our modules.

Reference names are found from ours, stack by stack; where the reference has several maps of one input, ours
has them as blocks of one map. Every tensor must find its place, but for those that the reference itself
never uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from amrbench.errors import CheckpointError, some
from amrbench.registry import Registry
from amrbench.slots.losses import LossPart
from amrbench.slots.model import ModelPart
from amrbench.types import BuildContext, Checkpoint, FeatureWidths
from amrbench_plugins import moment_detr
from amrbench_plugins.cgdetr.moment_sentence import MomentSentence
from amrbench_plugins.cgdetr.reference_checkpoint import UNUSED_PREFIXES, Sizes, sizes_of

# Fixed in the reference's code for its text encoders, whatever its options say.
TEXT_HEADS = 8
TEXT_DROPOUT = 0.1

LOSS = "loss"
_STACKS: Mapping[str, str] = {
    "fusion.dummy_encoder": "txtproj_encoder",
    "fusion": "transformer.t2v_encoder",
    "text_summary.encoder": "scls_encoder",
    "encoder": "transformer.encoder",
    "decoder": "transformer.decoder",
    f"{LOSS}.encoder": "transformer.mcls_encoder",
}
_LAYER: Mapping[str, tuple[str, ...]] = {
    "attention.qkv.weight": ("self_attn.in_proj_weight",),
    "attention.qkv.bias": ("self_attn.in_proj_bias",),
    "attention.out": ("self_attn.out_proj",),
    "attention.content": ("sa_qcontent_proj", "sa_kcontent_proj", "sa_v_proj"),
    "attention.position": ("sa_qpos_proj", "sa_kpos_proj"),
    "out": ("self_attn.out_proj",),
    "place": ("ca_qpos_proj",),
    "cross.query": ("ca_qcontent_proj",),
    "cross.query_sine": ("ca_qpos_sine_proj",),
    "cross.frames": ("ca_kcontent_proj", "ca_v_proj"),
    "cross.frame_position": ("ca_kpos_proj",),
    "cross.out": ("cross_attn.out_proj",),
    "feedforward.up": ("linear1",),
    "feedforward.down": ("linear2",),
    "feedforward.activation.slope": ("activation.weight",),
    "norm1": ("norm1",),
    "norm2": ("norm2",),
    "norm3": ("norm3",),
}
_OTHERS: Mapping[str, str] = {
    "token_types": "token_type_embeddings.weight",
    r"audio_projection.norms.(\d+)": r"input_vid_proj.\1.LayerNorm",
    r"audio_projection.linears.(\d+)": r"input_vid_proj.\1.net.1",
    r"text_projection.norms.(\d+)": r"input_txt_proj.\1.LayerNorm",
    r"text_projection.linears.(\d+)": r"input_txt_proj.\1.net.1",
    "fusion.dummies": "dummy_rep_token",
    "fusion.dummy_positions": "dummy_rep_pos",
    "fusion.token.prompts": "global_rep_token",
    "fusion.token.position": "global_rep_pos",
    "text_summary.token": "sent_rep_token",
    "text_summary.position": "sent_rep_pos",
    f"{LOSS}.encoder.token": "moment_rep_token",
    f"{LOSS}.encoder.position": "moment_rep_pos",
    "query.anchors.logits": "query_embed.weight",
    "decoder.norm": "transformer.decoder.norm",
    r"decoder.placing.position.linears.(\d+)": r"transformer.decoder.ref_point_head.layers.\1",
    r"decoder.placing.scale.linears.(\d+)": r"transformer.decoder.query_scale.layers.\1",
    r"decoder.placing.width.linears.(\d+)": r"transformer.decoder.ref_anchor_head.layers.\1",
    r"decoder.correction.linears.(\d+)": r"transformer.decoder.bbox_embed.layers.\1",
    r"heads.spans.perceptron.linears.(\d+)": r"span_embed.layers.\1",
    "heads.foreground.linear": "class_embed",
    "heads.saliency.of_frames": "saliency_proj1",
    "heads.saliency.of_token": "saliency_proj2",
}


@dataclass(frozen=True)
class Reference:
    """A reference checkpoint as parts and modules of ours."""

    model_part: ModelPart
    loss_part: LossPart
    model: nn.Module
    """A `MomentModel`, in evaluation mode."""
    loss: nn.Module
    """The loss that owns the reference's moment encoder."""


def load_reference(checkpoint: Checkpoint) -> Reference:
    """Build the CG-DETR that a reference checkpoint describes, with its weights.

    Raises:
        CheckpointError: A tensor is missing, left over, or of the wrong shape.
    """
    sizes = sizes_of(checkpoint)
    reference = build_reference(sizes)
    try:
        fill(reference, checkpoint.weights)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from None
    return reference


def build_reference(sizes: Sizes) -> Reference:
    """Build parts and modules of these sizes with new weights."""
    # What a reference checkpoint means does not depend on what else is installed.
    registry = Registry.of(MomentSentence, *moment_detr.amrbench_parts())
    model_part = cast(
        "ModelPart",
        registry.find("model", "moment-detr").model_validate(model_options(sizes), context=registry),
    )
    loss_part = MomentSentence.model_validate(loss_options(sizes), context=registry)
    context = BuildContext(
        FeatureWidths(sizes.audio_width, sizes.text_width), input_dropout=sizes.input_dropout
    )
    model = model_part.build(context)
    loss = loss_part.build(context.at("losses.moment-sentence"))
    return Reference(model_part, loss_part, model.eval(), loss.eval())


def model_options(sizes: Sizes) -> dict[str, Any]:
    """Return the options of `moment-detr` that make the reference's CG-DETR of these sizes."""
    return {
        **_common(sizes),
        "temporal_embedding": "tef",
        "fusion": {
            "use": "adaptive-cross-attention",
            "layers": sizes.cross_layers,
            "dummies": sizes.dummies,
            "dummy_encoder": _text_encoder(sizes.dummy_layers),
            "prompts": sizes.prompts,
            "prompts_used": sizes.prompts_used,
        },
        "text_summary": _text_encoder(sizes.sentence_layers),
        "encoder": {"use": "transformer", "layers": sizes.encoder_layers},
        "memory_refine": ["add-global"],
        "query": {"use": "zeros", "anchors": {"use": "random", "count": sizes.queries}},
        "decoder": {"use": "dab", "layers": sizes.decoder_layers},
        "heads": ["spans", "foreground", "saliency"],
    }


def loss_options(sizes: Sizes) -> dict[str, Any]:
    """Return the options of the loss `moment-sentence` for the same sizes."""
    return {**_common(sizes), "layers": sizes.moment_layers}


def fill(reference: Reference, weights: Mapping[str, Tensor]) -> None:
    """Copy the reference's tensors into our modules.

    Raises:
        CheckpointError: A tensor is missing, left over, or of the wrong shape.
    """
    used: set[str] = set()
    for name, parameter in _parameters(reference):
        sources = reference_names(name)
        missing = [source for source in sources if source not in weights]
        if missing:
            raise CheckpointError(f"tensor {missing[0]!r} is missing; is this a CG-DETR of the reference?")
        _copy(parameter, [weights[source] for source in sources], sources[0])
        used.update(sources)
    left = [name for name in weights if name not in used and not name.startswith(UNUSED_PREFIXES)]
    if left:
        raise CheckpointError(f"no place for {some(left)}; is this a CG-DETR of the reference?")


def reference_names(name: str) -> tuple[str, ...]:
    """Return the reference's names of one of our tensors, several where ours holds blocks.

    Names of the loss start with "loss.". KeyError when the reference has no such tensor.
    """
    found = re.fullmatch(r"(.+?)\.layers\.(\d+)\.(.+)", name)
    if found and found[1] in _STACKS:
        stack = f"{_STACKS[found[1]]}.layers.{found[2]}"
        return tuple(f"{stack}.{inner}" for inner in _inner_names(found[3]))
    for pattern, replacement in _OTHERS.items():
        matched = re.fullmatch(rf"{pattern}(\.weight|\.bias)?", name)
        if matched:
            return (matched.expand(replacement) + (matched[matched.re.groups] or ""),)
    raise KeyError(name)


def _inner_names(inner: str) -> tuple[str, ...]:
    if inner in _LAYER:
        return _LAYER[inner]
    module, _, kind = inner.rpartition(".")
    return tuple(f"{source}.{kind}" for source in _LAYER[module])


def _parameters(reference: Reference) -> Iterator[tuple[str, Tensor]]:
    yield from reference.model.named_parameters()
    for name, parameter in reference.loss.named_parameters():
        yield f"{LOSS}.{name}", parameter


def _copy(parameter: Tensor, sources: list[Tensor], name: str) -> None:
    value = torch.cat(sources) if len(sources) > 1 else sources[0]
    if value.numel() != parameter.numel() or value.shape[-1] != parameter.shape[-1]:
        raise CheckpointError(
            f"tensor {name!r} has shape {list(value.shape)}, which does not fit {list(parameter.shape)}."
        )
    with torch.no_grad():
        parameter.copy_(value.reshape(parameter.shape))


def _common(sizes: Sizes) -> dict[str, Any]:
    return {
        "width": sizes.width,
        "attention_heads": sizes.heads,
        "feedforward": sizes.feedforward,
        "dropout": sizes.dropout,
        "activation": "relu-prelu",
    }


def _text_encoder(layers: int) -> dict[str, Any]:
    return {"use": "transformer", "layers": layers, "attention_heads": TEXT_HEADS, "dropout": TEXT_DROPOUT}
