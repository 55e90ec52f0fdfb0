"""Which device trains and predicts."""

from __future__ import annotations

import torch

from amrbench.errors import RunError


def refuse_device(name: str) -> None:
    """Raise RunError if there is no device of a name on this machine, before anything is prepared for it."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RunError(f"torch knows no device {name!r}. Use cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise RunError(f"the device {name!r} is not supported. Use cpu, cuda or cuda:N.")
    if device.type == "cpu":
        return
    if not torch.cuda.is_available():
        raise RunError(f"device {name!r}: torch finds no CUDA device. Use --device cpu.")
    if (device.index or 0) >= (count := torch.cuda.device_count()):
        raise RunError(f"device {name!r}: torch finds {count}, from cuda:0 on. Use one of them.")
