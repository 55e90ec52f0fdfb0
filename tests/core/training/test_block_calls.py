from collections.abc import Mapping

import pytest
import torch
from torch import nn

from amrbench.functional.axes import AxisSizes
from amrbench.interfaces import ResultError
from amrbench.slots.block_data import Decoded, Fused, Keys, Memory, Queries, Tokens
from amrbench.slots.blocks import (
    AnchorsPart,
    DecoderPart,
    EncoderPart,
    FusionPart,
    Head,
    HeadPart,
    PriorPart,
    QueryPart,
    RefinePart,
    TemporalEmbedding,
    TemporalEmbeddingPart,
)
from amrbench.slots.model import ModelPart
from amrbench.testing import CONTEXT, make_batch
from amrbench.training.block_calls import (
    SIGNATURES,
    provided_fault,
    recorded_calls,
    refuse_wrong_results,
    same_bits,
)
from amrbench.types import Encoded

B, T, D, Q = 2, 5, 4, 3
MASK = torch.ones(B, T).bool()
MEMORY = Memory(torch.zeros(B, D), torch.zeros(B, T, D), torch.zeros(B, T, D), MASK)
TOKENS = Tokens(torch.zeros(B, T, D), torch.zeros(B, T, D), MASK)
WORDS = Tokens(torch.zeros(B, 2, D), torch.zeros(B, 2, D), torch.ones(B, 2).bool())
QUERIES = Queries(torch.zeros(B, Q, D), torch.zeros(B, Q, 2))
DECODED = Decoded(torch.zeros(1, B, Q, D), torch.zeros(1, B, Q, 2))


class Block(nn.Module):
    """Returns what it is made with."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, *given, **named):
        return self.result


class HeadBlock(Head, Block):
    """A head of the memory."""

    def of_memory(self, memory):
        return self.result


class Columns(TemporalEmbedding, Block):
    """Columns and a summand."""

    def columns(self, mask):
        return self.result

    def add(self, mask):
        return self.result[:, :, :1]


class FusionBlock(Block):
    """Keys and fused audio."""

    def keys(self, words):
        return self.result


def calls_of(slot, result, call, kind=Block, provides=None):
    """Return the recorded calls of a block that returns a result."""

    class Made(slot):
        """A block."""

        use = "made"

        def build(self, context):
            return kind(result)

        provides = property(lambda self: {"x": "B T"} if provides is None else provides)

    with recorded_calls(model := nn.Sequential(Made().build(None)), lambda part: part.use == "made") as calls:
        call(model[0])
    return calls


def fault_of(*arguments, **options):
    with pytest.raises(ResultError) as error:
        refuse_wrong_results(calls_of(*arguments, **options))
    return str(error.value)


SOUND = [
    (RefinePart, MEMORY, lambda block: block(MEMORY), Block),
    (EncoderPart, torch.zeros(B, T, D), lambda block: block(TOKENS), Block),
    (EncoderPart, torch.zeros(B, 1, D), lambda block: block(TOKENS, first=1), Block),
    (EncoderPart, torch.zeros(B, 1, D), lambda block: block(TOKENS, 1), Block),
    (AnchorsPart, torch.zeros(Q, 2), lambda block: block(), Block),
    (QueryPart, QUERIES, lambda block: block({"audio": MEMORY.frames}), Block),
    (DecoderPart, DECODED, lambda block: block(QUERIES, MEMORY), Block),
    (HeadPart, {"x": torch.zeros(B, T)}, lambda block: block.of_memory(MEMORY), HeadBlock),
    (TemporalEmbeddingPart, torch.zeros(B, T, 2), lambda block: block.columns(MASK), Columns),
    (TemporalEmbeddingPart, torch.zeros(1, 1, D), lambda block: block.add(MASK), Columns),
    (FusionPart, Keys(WORDS), lambda block: block.keys(WORDS), FusionBlock),
    (
        FusionPart,
        Fused(TOKENS, torch.zeros(B, D), torch.zeros(D), {"x": torch.zeros(B, T)}),
        lambda block: block(TOKENS, Keys(WORDS)),
        FusionBlock,
    ),
    *(
        (
            PriorPart,
            torch.zeros(shape),
            lambda block: block(torch.zeros(B, Q, 2), QUERIES.content, MASK),
            Block,
        )
        for shape in ((B, 1, Q, T), (1, 1, 1, 1), (T,), (B, 2, 1, T))
    ),
]


@pytest.mark.parametrize(("slot", "result", "call", "kind"), SOUND)
def test_what_a_slot_asks_for_is_fine(slot, result, call, kind):
    calls = calls_of(slot, result, call, kind)
    assert len(calls) == 1
    refuse_wrong_results(calls)
    assert calls[0].who == f"{slot.slot} 'made'"
    assert calls[0].written == ()


@pytest.mark.parametrize(
    ("slot", "result", "call", "kind", "text"),
    [
        (RefinePart, None, lambda block: block(MEMORY), Block, "forward returns None, not a Memory."),
        (
            RefinePart,
            MEMORY.with_frames(MEMORY.frames[:, 1:]),
            lambda block: block(MEMORY),
            Block,
            "forward: 'frames' has shape (2, 4, 4), but its axes are 'B T D': axis 1 is 4, where T is 5. "
            "Return a tensor (B, T, D), or declare the axes that it has.",
        ),
        (
            EncoderPart,
            torch.zeros(B, T, D),
            lambda block: block(TOKENS, first=1),
            Block,
            "forward: 'result' has shape (2, 5, 4), but its axes are 'B n D': axis 1 is 5, where n is 1. "
            "Return a tensor (B, n, D), or declare the axes that it has.",
        ),
        (
            HeadPart,
            {"y": torch.zeros(B, T)},
            lambda block: block.of_memory(MEMORY),
            HeadBlock,
            "of_memory returns 'y', but `provides` does not list it.",
        ),
        (
            HeadPart,
            {"x": 3},
            lambda block: block.of_memory(MEMORY),
            HeadBlock,
            "of_memory returns int 3 for 'x', not a tensor (B T).",
        ),
        (
            PriorPart,
            torch.zeros(B, 1, Q, 2),
            lambda block: block(torch.zeros(B, Q, 2), QUERIES.content, MASK),
            Block,
            "forward returns a tensor of shape (2, 1, 3, 2), which does not broadcast to (B, H, Q, T): "
            "(2, H, 3, 5).",
        ),
        (
            QueryPart,
            Queries(torch.zeros(Q, D), torch.zeros(Q, 2)),
            lambda block: block({}),
            Block,
            "forward: 'content' has shape (3, 4), but its axes are 'B Q D', which are 3 and not 2. Return a "
            "tensor (B, Q, D), or declare the axes that it has.",
        ),
    ],
)
def test_the_first_wrong_result_is_named(slot, result, call, kind, text):
    assert fault_of(slot, result, call, kind) == text


def test_a_block_that_writes_into_what_it_is_given_is_named():
    class Writing(Block):
        """Adds to the frames in place."""

        def forward(self, memory):
            memory.frames.add_(1)
            return memory

    memory = Memory(torch.zeros(B, D), torch.zeros(B, T, D), torch.zeros(B, T, D), MASK)
    assert fault_of(RefinePart, None, lambda block: block(memory), Writing) == (
        "forward writes into 'frames', which it is given. Change a copy (clone)."
    )


def test_results_that_broadcast_are_compared_at_their_full_size():
    [call] = calls_of(*SOUND[-3][:3])
    assert [(name, tuple(tensor.shape), axes) for name, tensor, axes in call.tensors()] == [
        ("result", (B, 1, Q, T), "B H Q T")
    ]


def test_masks_are_those_of_the_arguments():
    [call] = calls_of(EncoderPart, torch.zeros(B, T, D), lambda block: block(TOKENS))
    assert call.batch == B
    assert call.masks().keys() == {"n"}
    [call] = calls_of(*SOUND[11][:4])
    assert call.masks().keys() == {"n", "T", "L"}


def test_recording_leaves_the_block_as_it_was():
    class Made(RefinePart):
        """A block."""

        use = "made"

        def build(self, context):
            return Block(MEMORY)

    block = Made().build(None)
    with recorded_calls(block, lambda part: True) as calls:
        block(MEMORY)
    block(MEMORY)
    assert len(calls) == 1
    assert "forward" not in vars(block)
    with recorded_calls(block, lambda part: False) as calls:
        block(MEMORY)
    assert calls == []


def test_every_block_slot_has_its_methods():
    from amrbench.testing import BLOCKS

    assert set(SIGNATURES) == set(BLOCKS)
    assert all(isinstance(one.returns, str | type) for slot in SIGNATURES.values() for one in slot.values())
    assert SIGNATURES["head"]["of_memory"].returns is Mapping


def test_nan_equals_nan_bit_by_bit():
    one = torch.tensor([1.0, torch.nan])
    assert same_bits(one, one.clone())
    assert not same_bits(one, torch.tensor([1.0, 2.0]))
    assert not same_bits(one, one[:1])


class Bumps(ModelPart):
    """A model."""

    use = "bumps"
    views = frozenset({"other"})

    @property
    def provides(self):
        return {"bumps": "B T", "wide": "B D"}

    def build(self, context):
        raise NotImplementedError


def provided(encoded, decoded, views=("other",), sizes=None):
    batch = make_batch()
    own = Encoded(None, encoded, {view: {} for view in views})
    return provided_fault(Bumps(), batch, own, decoded, sizes)[0]


def test_what_a_model_provides_is_compared_with_what_it_declares():
    bumps, wide = torch.zeros(4, 14), torch.zeros(4, 8)
    assert provided({"bumps": bumps}, {"wide": wide}) == ""
    assert provided({"bumps": bumps}, {}) == "`provides` lists wide, but it does not return them."
    assert provided({"bumps": bumps, "x": bumps}, {"wide": wide}) == (
        "it returns x, but `provides` does not list them."
    )
    assert provided({"bumps": bumps}, {"wide": wide}, views=()) == (
        "`views` lists other, but it does not return them."
    )
    assert provided({"bumps": bumps[:, :3]}, {"wide": wide}).startswith("'bumps' has shape (4, 3), but its")


def test_a_size_that_should_not_depend_on_the_batch_is_remembered():
    sizes = AxisSizes({})
    assert provided({"bumps": torch.zeros(4, 14)}, {"wide": torch.zeros(4, 8)}, sizes=sizes) == ""
    assert "where D is 8 as in 'wide'" in provided(
        {"bumps": torch.zeros(4, 14)}, {"wide": torch.zeros(4, 9)}, sizes=sizes
    )
    assert CONTEXT.features.audio == 12
