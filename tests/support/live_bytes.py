"""Counts the bytes of all tensors alive while something runs. On the meta device too: no card is needed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """`peak`: the most bytes that were alive at a time, of those made since it began."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        known = {self._id(leaf) for leaf in _tensors((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for leaf in _tensors(out):
            if self._id(leaf) not in known | self._known:
                self._born(leaf.untyped_storage())
        return out

    @staticmethod
    def _id(tensor: torch.Tensor) -> int:
        return int(tensor.untyped_storage()._cdata)

    def _born(self, storage: torch.UntypedStorage) -> None:
        number, size = storage._cdata, storage.nbytes()
        self._known.add(number)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._died, number, size)

    def _died(self, number: int, size: int) -> None:
        self._known.discard(number)
        self.alive -= size


def _tensors(tree: Any) -> list[torch.Tensor]:
    """Those with bytes that can be counted: oneDNN's own cannot."""
    leaves = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
    return [leaf for leaf in leaves if leaf.layout == torch.strided]
