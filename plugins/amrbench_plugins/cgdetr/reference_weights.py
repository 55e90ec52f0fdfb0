"""CG-DETR weights of the reference library, loaded into our modules; and the names of all its weights.

The names serve QD-DETR too, which has the same stacks. Our names are translated into those of the reference,
stack by stack. Where the reference has several linear maps of one input, ours are blocks of one map. Every
tensor must be used, except those that the reference never reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from amrbench.errors import CheckpointError, some
from amrbench.registry import Registry
from amrbench.types import BuildContext, Checkpoint, FeatureWidths
from amrbench_plugins import moment_detr
from amrbench_plugins.cgdetr.parts import MomentSentence
from amrbench_plugins.cgdetr.reference_checkpoint import CGDETR, Config, config_of
from amrbench_plugins.cgdetr.reference_options import UNUSED_PREFIXES, BaseConfig
from amrbench_plugins.moment_detr.model import MomentDetr

# The reference's code has these numbers for its text encoders, whatever its options are.
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
    "qkv.weight": ("self_attn.in_proj_weight",),
    "qkv.bias": ("self_attn.in_proj_bias",),
    "attention.out": ("self_attn.out_proj",),
    "attention.content": ("sa_qcontent_proj", "sa_kcontent_proj", "sa_v_proj"),
    "attention.position": ("sa_qpos_proj", "sa_kpos_proj"),
    "out": ("self_attn.out_proj",),
    "cross.query_position": ("ca_qpos_proj",),
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
    "fusion.token": "global_rep_token",
    "fusion.position": "global_rep_pos",
    "text_summary.token": "sent_rep_token",
    "text_summary.position": "sent_rep_pos",
    f"{LOSS}.encoder.token": "moment_rep_token",
    f"{LOSS}.encoder.position": "moment_rep_pos",
    "query.anchors.logits": "query_embed.weight",
    "decoder.norm": "transformer.decoder.norm",
    r"decoder.anchor_embedding.position.linears.(\d+)": r"transformer.decoder.ref_point_head.layers.\1",
    r"decoder.anchor_embedding.scale.linears.(\d+)": r"transformer.decoder.query_scale.layers.\1",
    r"decoder.anchor_embedding.width.linears.(\d+)": r"transformer.decoder.ref_anchor_head.layers.\1",
    r"decoder.correction.linears.(\d+)": r"transformer.decoder.bbox_embed.layers.\1",
    r"heads.spans.perceptron.linears.(\d+)": r"span_embed.layers.\1",
    "heads.foreground.linear": "class_embed",
    "heads.saliency.of_frames": "saliency_proj1",
    "heads.saliency.of_token": "saliency_proj2",
}


@dataclass(frozen=True)
class Reference:
    """A CG-DETR of the reference as our modules, in evaluation mode."""

    model: nn.Module
    """A `MomentModel`."""
    loss: nn.Module
    """The loss that holds the reference's moment encoder."""

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Return all parameters; names of the loss start with "loss."."""
        of_loss = {f"{LOSS}.{name}": parameter for name, parameter in self.loss.named_parameters()}
        return {**dict(self.model.named_parameters()), **of_loss}


def load_reference(checkpoint: Checkpoint) -> Reference:
    """Build the CG-DETR that a reference checkpoint describes, with its weights.

    Raises:
        CheckpointError: A tensor is missing, left over, or of the wrong shape.
    """
    reference = build_reference(config_of(checkpoint))
    copy_weights(checkpoint, reference.named_parameters(), CGDETR.title)
    return reference


def copy_weights(checkpoint: Checkpoint, parameters: Mapping[str, nn.Parameter], title: str) -> None:
    """Copy the tensors of a checkpoint into parameters, which have our names; `title` is that of the model.

    Raises:
        CheckpointError: A tensor is missing, left over, or of the wrong shape.
    """
    weights, used = checkpoint.weights, set[str]()
    for name, parameter in parameters.items():
        sources = reference_names(name)
        for source, block in zip(sources, parameter.detach().chunk(len(sources)), strict=True):
            if source not in weights:
                raise CheckpointError(
                    f"{checkpoint.path}: tensor {source!r} is missing; is this a {title} of the reference?"
                )
            value = weights[source]
            if value.numel() != block.numel() or value.shape[-1:] != block.shape[-1:]:
                raise CheckpointError(
                    f"{checkpoint.path}: tensor {source!r} has shape {list(value.shape)}, "
                    f"which does not fit {list(block.shape)}."
                )
            block.copy_(value.reshape(block.shape))
            used.add(source)
    unknown = [name for name in weights if name not in used and not name.startswith(UNUSED_PREFIXES)]
    if unknown:
        raise CheckpointError(
            f"{checkpoint.path}: the tensors {some(unknown)} are unknown; is this a {title} of the reference?"
        )


def build_reference(config: Config) -> Reference:
    """Build the modules of a configuration with new weights."""
    # A registry of its own: the result must not depend on which plugins are installed.
    registry = Registry.of(MomentSentence, *moment_detr.amrbench_parts())
    widths = FeatureWidths(config.audio_width, config.text_width)
    context = BuildContext(widths, input_dropout=config.input_dropout)
    model = MomentDetr.model_validate(model_options(config), context=registry).build(context)
    loss = MomentSentence.model_validate(loss_options(config), context=registry)
    return Reference(model.eval(), loss.build(context.at("losses.moment-sentence")).eval())


def model_options(config: Config) -> dict[str, Any]:
    """Return the options of `moment-detr` for the reference's CG-DETR of a configuration."""
    return {
        **shared_options(config),
        "fusion": {
            "use": "adaptive-cross-attention",
            "layers": config.cross_layers,
            "dummies": config.dummies,
            "dummy_encoder": _text_encoder(config.dummy_layers),
            "prompts": config.prompts,
            "prompts_used": config.prompts_used,
        },
        "text_summary": _text_encoder(config.sentence_layers),
        "memory_refine": ["add-global"],
    }


def shared_options(config: BaseConfig) -> dict[str, Any]:
    """Return the options of `moment-detr` that all models of the reference have."""
    return {
        **_sizes(config),
        "temporal_embedding": "tef",
        "encoder": {"use": "transformer", "layers": config.encoder_layers},
        "query": {"use": "zeros", "anchors": {"use": "random", "count": config.queries}},
        "decoder": {"use": "dab", "layers": config.decoder_layers},
        "heads": ["spans", "foreground", "saliency"],
    }


def loss_options(config: Config) -> dict[str, Any]:
    """Return the options of the loss `moment-sentence` for the same configuration."""
    return {**_sizes(config), "layers": config.moment_layers}


def reference_names(name: str) -> tuple[str, ...]:
    """Return the reference's names of one of our tensors, several where it has blocks.

    Names of the loss start with "loss.".

    Raises:
        KeyError: The reference has no such tensor.
    """
    in_stack = re.fullmatch(r"(.+?)\.layers\.(\d+)\.(.+)", name)
    if in_stack and in_stack[1] in _STACKS:
        stack, inner = f"{_STACKS[in_stack[1]]}.layers.{in_stack[2]}", in_stack[3]
        module, _, kind = inner.rpartition(".")
        sources = _LAYER.get(inner) or [f"{source}.{kind}" for source in _LAYER[module]]
        return tuple(f"{stack}.{source}" for source in sources)
    for pattern, replacement in _OTHERS.items():
        matched = re.fullmatch(rf"{pattern}(\.weight|\.bias)?", name)
        if matched:
            return (matched.expand(replacement) + (matched[matched.re.groups] or ""),)
    raise KeyError(name)


def _sizes(config: BaseConfig) -> dict[str, Any]:
    return {
        "width": config.width,
        "attention_heads": config.heads,
        "feedforward": config.feedforward,
        "dropout": config.dropout,
        "activation": "relu-prelu",
    }


def _text_encoder(layers: int) -> dict[str, Any]:
    return {"use": "transformer", "layers": layers, "attention_heads": TEXT_HEADS, "dropout": TEXT_DROPOUT}
