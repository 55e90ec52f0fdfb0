"""Tensors by name, some of them made on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor
from typing_extensions import override


class LazyTensors(Mapping[str, Tensor]):
    """Tensors that exist already, and others with the function that makes them at the first request.

    What only losses and some query parts read costs nothing at prediction.
    """

    def __init__(
        self, ready: Mapping[str, Tensor], makers: Mapping[str, Callable[[], Mapping[str, Tensor]]]
    ) -> None:
        """A maker returns its own tensor, and may return others of the names in `makers` too."""
        self._ready = dict(ready)
        self._makers = makers

    @override
    def __getitem__(self, name: str) -> Tensor:
        if name not in self._ready and name in self._makers:
            self._ready.update(self._makers[name]())
        return self._ready[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._ready, *self._makers]))

    @override
    def __len__(self) -> int:
        return len(set(self._ready) | set(self._makers))
