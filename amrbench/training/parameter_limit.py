"""A limit on the parameters of a model, which holds before their memory is filled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy

from amrbench.errors import RecipeError

MOST_PARAMETERS = 100_000_000
"""Of a model and its losses; training takes some 20 bytes for each. That of the report has 13 million."""


@contextmanager
def limited_parameters(name: str) -> Iterator[None]:
    """Refuse modules that are built inside and together have more than `MOST_PARAMETERS`.

    Args:
        name: Of the recipe in messages.

    Raises:
        RecipeError: There are more; torch has not yet drawn the weights of the module that was one too many.
    """
    counted: set[int] = set()  # By identity, because a parameter may be registered in several modules.
    total = 0

    def count(_: nn.Module, __: str, parameter: nn.Parameter | None) -> None:
        nonlocal total
        if parameter is None or is_lazy(parameter) or id(parameter) in counted:
            return
        counted.add(id(parameter))
        total += parameter.numel()
        if total > MOST_PARAMETERS:
            raise RecipeError(
                f"{name}: model and losses have more than {MOST_PARAMETERS:,} parameters. Lower the widths, "
                "layers and counts of their parts."
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
