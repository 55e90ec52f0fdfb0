"""A training step as two CUDA graphs, before and after the assignment, which the host computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from amrbench.training.criterion import Criterion, tensors_of
from amrbench.types import Batch, Outcome, Target

WARM_UP = 3
RATE, WEIGHT_DECAY = 1e-4, 1e-4


class StaticStep:
    """The parts of a step of AdamW; all tensors keep their memory, so that the parts can be captured."""

    def __init__(
        self, criterion: Criterion, batch: Batch, target: Target, *, clip: float, half: bool = False
    ) -> None:
        """`half` computes matrix products in bfloat16; a `clip` of 0 clips nothing."""
        self.half = half
        self.criterion, self.batch, self.target, self.clip = criterion, batch, target, clip
        self.weights = [weight for weight in criterion.parameters() if weight.requires_grad]
        capturable = batch.audio.is_cuda
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=RATE, weight_decay=WEIGHT_DECAY, fused=True, capturable=capturable
        )
        self.forward()
        self.matched = self.match()

    def forward(self) -> None:
        """Encode and decode."""
        with self.autocast():
            self.encoded: Any = self.criterion.model.encode(self.batch, views=self.criterion.views)
            self.tensors = dict(tensors_of(self.criterion.model, self.encoded))

    @torch.no_grad()
    def match(self) -> Tensor:
        """Return the query of each true span; waits for the device."""
        return self.criterion.matcher(self.tensors, self.target)

    def update(self) -> None:
        """Compute the losses and their gradients, and change the weights."""
        outcome = Outcome(self.batch, self.target, self.tensors, self.encoded.views, self.matched, 0)
        with self.autocast():
            terms = [term.sum() for loss in self.criterion.losses.values() for term in loss(outcome).values()]
            total = torch.stack(terms).sum()
        total.backward()
        if self.clip:
            nn.utils.clip_grad_norm_(self.weights, self.clip)
        self.optimizer.step()

    def autocast(self) -> torch.autocast:
        """Return the context of forward pass and losses; casts that a graph keeps cannot be cached."""
        device = self.batch.audio.device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.half, cache_enabled=False)

    def eager(self) -> None:
        """Take the step without graphs."""
        self.optimizer.zero_grad(set_to_none=True)
        self.forward()
        self.matched.copy_(self.match())
        self.update()


def captured_step(step: StaticStep) -> Callable[[], None]:
    """Return a step whose kernels are launched by two graphs.

    Raises:
        RuntimeError: The device is not a GPU, or a part does what cannot be captured.
    """
    if not step.batch.audio.is_cuda:
        raise RuntimeError("graphs need a GPU")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step.eager()
    torch.cuda.current_stream().wait_stream(stream)
    step.optimizer.zero_grad(set_to_none=True)
    first, second, pool = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    with torch.cuda.graph(first, pool=pool):
        step.forward()
    with torch.cuda.graph(second, pool=pool):
        step.update()

    def replay() -> None:
        first.replay()
        step.matched.copy_(step.match())
        second.replay()

    return replay
