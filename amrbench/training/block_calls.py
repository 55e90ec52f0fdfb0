"""What the blocks of a model are given and return, compared with what their slots declare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from amrbench.functional.axes import AxisSizes
from amrbench.interfaces import ResultError, brief, part_that_built, with_article
from amrbench.part import Part, parts_in
from amrbench.slots.block_data import Decoded, Fused, Keys, Memory, Queries, Tokens
from amrbench.slots.model import ModelPart
from amrbench.types import Batch, Encoded, Tensors

Named = tuple[str, Any, str]
"""The name of a tensor, the tensor, and its axes; they are empty if nothing declares them."""


@dataclass(frozen=True)
class Signature:
    """What a method of a block is given and returns.

    Attributes:
        returns: The axes of a tensor, a class with `axes`, or Mapping for tensors by name.
        given: The axes of its arguments that are tensors.
        broadcasts: Whether the tensor may have an axis of size 1 instead, or fewer axes.
    """

    returns: str | type
    given: tuple[str, ...] = ()
    broadcasts: bool = False


_ROWS = Signature("B n D", ("B n D",))
SIGNATURES: Mapping[str, Mapping[str, Signature]] = {
    "anchors": {"forward": Signature("Q 2")},
    "attention_norm": {"audio": _ROWS, "text": _ROWS},
    "decoder": {"forward": Signature(Decoded)},
    "encoder": {"forward": Signature("B n D")},
    "fusion": {"keys": Signature(Keys), "forward": Signature(Fused)},
    "head": {"of_memory": Signature(Mapping), "of_queries": Signature(Mapping)},
    "prior": {"forward": Signature("B H Q T", ("B Q 2", "B Q D", "B T"), broadcasts=True)},
    "query": {"forward": Signature(Queries)},
    "refine": {"forward": Signature(Memory)},
    "temporal_embedding": {
        "columns": Signature("B T C", ("B T",)),
        "add": Signature("B T D", ("B T",), broadcasts=True),
    },
}
"""By slot and method. An activation makes modules and is no block."""


@dataclass(frozen=True)
class BlockCall:
    """A call of a method of a block.

    Attributes:
        block: The module.
        part: The part that built it.
        method: The name of the method.
        given: Its arguments.
        result: What it returned.
        written: The names of the arguments that it wrote into.
    """

    block: nn.Module
    part: Part
    method: str
    given: Sequence[Any]
    result: Any
    written: tuple[str, ...]

    @property
    def who(self) -> str:
        """Return e.g. "head 'edges'"."""
        return f"{self.part.slot} {self.part.use!r}"

    @property
    def _signature(self) -> Signature:
        return SIGNATURES[self.part.slot][self.method]

    def tensors(self) -> list[Named]:
        """Return what it returned, with axes; what broadcasts is expanded to the axes of known size."""
        returns = self._signature.returns
        named = list(_flat("result", self.result, self.part, returns if isinstance(returns, str) else ""))
        if self._signature.broadcasts and isinstance(self.result, Tensor):
            (name, tensor, axes), sizes = named[0], self._sizes()
            shape = (1,) * (len(axes.split()) - tensor.dim()) + tuple(tensor.shape)
            wide = [sizes.size(axis) or 1 for axis in axes.split()]
            expanded = [wide[dim] if size == 1 else size for dim, size in enumerate(shape)]
            return [(name, tensor.reshape(shape).expand(expanded), axes)]
        return named

    @property
    def batch(self) -> int | None:
        """Return the number of samples that it was called with, if it is known."""
        return self._sizes().size("B")

    def masks(self) -> dict[str, Tensor]:
        """Return the masks of the padded axes of what it returned, as far as they are known."""
        if isinstance(self.result, Keys):
            return {"n": self.result.tokens.mask, "L": self.given[0].mask}
        if isinstance(self.result, Fused):
            audio, keys = self.given[:2]
            return {"n": audio.mask, "T": audio.mask, "L": keys.tokens.mask}
        masks: dict[str, Tensor] = {}
        for value, axes in zip(self.given, _padded(self.given, self._signature.given), strict=True):
            if isinstance(value, (Memory, Tokens)):
                masks.setdefault("T" if isinstance(value, Memory) else "n", value.mask)
            elif axes == "B T":
                masks.setdefault("T", value)
        return masks

    def fault(self) -> str:
        """Return what is wrong with what it returned; empty if nothing is."""
        returns = self._signature.returns
        kind: Any = Tensor if isinstance(returns, str) else returns
        if not isinstance(self.result, kind):
            return f"{self.method} returns {brief(self.result)}, not {with_article(kind)}."
        if self.written:
            return f"{self.method} writes into {self.written[0]!r}, which it is given. Change a copy (clone)."
        sizes = self._sizes()
        if self._signature.broadcasts:
            return self._broadcast_fault(sizes)
        for name, tensor, axes in self.tensors():
            if not axes:
                return f"{self.method} returns {name!r}, but `provides` does not list it."
            if not isinstance(tensor, Tensor):
                return f"{self.method} returns {brief(tensor)} for {name!r}, not a tensor ({axes})."
            if fault := sizes.fault(name, tensor.shape, axes):
                return f"{self.method}: {fault}"
        return ""

    def _broadcast_fault(self, sizes: AxisSizes) -> str:
        shape, letters = tuple(self.result.shape), str(self._signature.returns).split()
        known = [sizes.size(letter) for letter in letters]
        last = list(zip(shape[::-1], known[::-1], strict=False))
        if len(shape) <= len(letters) and all(size == 1 or wide in (None, size) for size, wide in last):
            return ""
        expected = ", ".join(str(size or letter) for size, letter in zip(known, letters, strict=True))
        return (
            f"{self.method} returns a tensor of shape {shape}, which does not broadcast to "
            f"({', '.join(letters)}): ({expected})."
        )

    def _sizes(self) -> AxisSizes:
        """Return the sizes of the axes of its arguments, and of its rows."""
        sizes: dict[str, int] = {}
        for value, axes in zip(self.given, _padded(self.given, self._signature.given), strict=True):
            if isinstance(value, Mapping):
                continue  # Some of its tensors are made on request.
            for _, tensor, own in _flat("", value, self.part, axes):
                for letter, size in zip(own.split(), getattr(tensor, "shape", ()), strict=False):
                    if letter.isalpha():
                        sizes.setdefault(letter, size)
        if isinstance(self.result, Fused):
            sizes["T"] = sizes["n"]
        if isinstance(self.result, Keys):
            sizes["n"] += self.result.dummies
        if self.part.slot == "encoder" and len(self.given) > 1 and self.given[1] is not None:
            sizes["n"] = min(sizes["n"], self.given[1])
        return AxisSizes(sizes)


def refuse_wrong_results(calls: Sequence[BlockCall]) -> None:
    """Raise ResultError for the first call that returned something else than its slot asks for."""
    for call in calls:
        if fault := call.fault():
            raise ResultError(fault, call.block, call.method)


def provided_fault(
    part: ModelPart, batch: Batch, encoded: Encoded, decoded: Tensors, sizes: AxisSizes | None = None
) -> tuple[str, Part]:
    """Return how what a model provides differs from what it declares, and the part that declares it.

    Args:
        part: The model.
        batch: What was encoded, with all views of the model.
        encoded: What `encode` returned.
        decoded: What `decode` returned.
        sizes: Of axes that do not depend on the batch, such as D; those that are seen are added.
    """
    provided = {**encoded.tensors, **decoded}
    names = set(provided).union(*encoded.views.values())
    missing, undeclared = sorted(part.provides.keys() - names), sorted(names - part.provides.keys())
    if missing:
        text = f"`provides` lists {', '.join(missing)}, but it does not return them."
        return text, _provider(part, missing[0])
    if undeclared:
        return f"it returns {', '.join(undeclared)}, but `provides` does not list them.", part
    if views := sorted(part.views - set(encoded.views)):
        return f"`views` lists {', '.join(views)}, but it does not return them.", part
    sizes = sizes or AxisSizes({})
    sizes.sizes |= {"B": len(batch.audio), "T": batch.audio.shape[1], "L": batch.text.shape[1]}
    for tensors in (provided, *encoded.views.values()):
        for name, tensor in tensors.items():
            if fault := sizes.fault(name, tensor.shape, part.provides[name]):
                return fault, _provider(part, name)
    return "", part


def _provider(model: ModelPart, name: str) -> Part:
    """Return the part of a model that declares a tensor; the model itself if none does."""
    inner = [part for part in parts_in(model) if part is not model and name in getattr(part, "provides", ())]
    return inner[0] if inner else model


@contextmanager
def recorded_calls(model: nn.Module, chosen: Callable[[Part], bool]) -> Iterator[list[BlockCall]]:
    """Record the calls of the blocks of a model that some parts built."""
    calls: list[BlockCall] = []
    changed: list[tuple[nn.Module, str, Any]] = []
    for module in model.modules():
        part = part_that_built(module)
        if part is not None and part.slot in SIGNATURES and chosen(part):
            for method in SIGNATURES[part.slot]:
                changed.append((module, method, vars(module).get(method)))
                recording = partial(_recording, calls, module, method, getattr(module, method))
                object.__setattr__(module, method, recording)
    try:
        yield calls
    finally:
        for module, method, before in changed:
            del vars(module)[method]
            if before is not None:
                object.__setattr__(module, method, before)


def _recording(
    calls: list[BlockCall],
    block: nn.Module,
    method: str,
    original: Callable[..., Any],
    *given: Any,
    **named: Any,
) -> Any:
    part = part_that_built(block)
    values = [*given, *named.values()]
    before = [(name, tensor, tensor.detach().clone()) for name, tensor in _given_tensors(part, values)]
    result = original(*given, **named)
    written = tuple(name for name, tensor, copy in before if not same_bits(tensor, copy))
    calls.append(BlockCall(block, part, method, values, result, written))
    return result


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal; NaN equals NaN."""
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())


def _given_tensors(part: Part, values: Sequence[Any]) -> Iterator[tuple[str, Tensor]]:
    for number, value in enumerate(values):
        if isinstance(value, Mapping):
            # Some tensors are made on request, so only those that the part names are looked at.
            value = {name: value[name] for name in getattr(part, "requires", ()) if name in value}
        for name, tensor, _ in _flat(f"argument {number + 1}", value, part, ""):
            if isinstance(tensor, Tensor):
                yield name, tensor


def _flat(name: str, value: Any, part: Part, axes: str) -> Iterator[Named]:
    """Yield the tensors in a tensor, a mapping, or an object with `axes`."""
    if isinstance(value, Mapping):
        provides = getattr(part, "provides", {})
        for key, tensor in value.items():
            yield key, tensor, provides.get(key, "")
    elif is_dataclass(value) and hasattr(value, "axes"):
        for one in fields(value):
            inner = getattr(value, one.name)
            if one.name in value.axes:
                yield one.name, inner, value.axes[one.name]
            elif not isinstance(inner, int):
                yield from _flat(one.name, inner, part, "")
    elif isinstance(value, Tensor) or axes:
        yield name, value, axes


def _padded(values: Sequence[Any], axes: tuple[str, ...]) -> list[str]:
    return [*axes, *[""] * (len(values) - len(axes))]
