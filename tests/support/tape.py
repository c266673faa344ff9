"""CUDA graphs for those who have no CUDA: a callable's operations on a tape, replayed over the same memory.

As with the real ones: recording gives no result, no Python runs again, addresses are what they were, and a
recording that needs a number of the device on the host fails. What is wrong with the one is wrong with the
other, except that a tape keeps alive all that it touches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITING = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "unique", "equal")


@dataclass(frozen=True)
class _Done:
    function: Any
    args: Any
    kwargs: Any
    outputs: list[Tensor]
    """New memory that it filled; none for views and what works in place."""


class _Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.done: list[_Done] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket.__name__ in WAITING:
            raise RuntimeError(f"{func} waits for the device")
        result = func(*args, **kwargs)
        known = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        fresh = [
            t
            for t in tree_leaves(result)
            if isinstance(t, Tensor) and t.untyped_storage().data_ptr() not in known
        ]
        if fresh or func._schema.is_mutable:
            self.done.append(_Done(func, args, kwargs, fresh))
        return result


class TapeGraph:
    """Operations in their order."""

    def __init__(self, done: list[_Done]) -> None:
        self._done = done

    def replay(self) -> None:
        """Do them again."""
        with torch.inference_mode():
            for done in self._done:
                result = done.function(*done.args, **done.kwargs)
                fresh = [t for t in tree_leaves(result) if isinstance(t, Tensor)] if done.outputs else []
                for output, new in zip(done.outputs, fresh, strict=True):
                    output.copy_(new)


class TapeRecorder:
    """A `Recorder` for any device; counts its recordings."""

    def __init__(self) -> None:
        self.recordings = 0

    def record(self, function: Callable[[], Tensor]) -> tuple[TapeGraph, Tensor]:
        """Record. What was computed meanwhile is undone: a CUDA graph computes nothing while it is made."""
        with _Tape() as tape:
            undo = _Undo()
            with undo:
                result = function()
        undo.undo()
        self.recordings += 1
        for done in tape.done:
            for output in done.outputs:
                _spoil(output)
        return TapeGraph(tape.done), result

    def free(self) -> None:
        """Nothing lies idle."""


class _Undo(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Remembers what lay in the memory that is written to."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        names = [argument.name for argument in func._schema.arguments]
        given = dict(zip(names, args, strict=False)) | kwargs
        for argument in func._schema.arguments:
            target = given.get(argument.name)
            if (
                argument.alias_info is not None
                and argument.alias_info.is_write
                and isinstance(target, Tensor)
            ):
                self._before.append((target, target.clone()))
        return func(*args, **kwargs)

    def undo(self) -> None:
        with torch.inference_mode():
            for target, before in reversed(self._before):
                target.copy_(before)


def _spoil(tensor: Tensor) -> None:
    """Nobody shall find a result where none was computed yet."""
    with torch.inference_mode():
        tensor.fill_(
            float("nan") if tensor.is_floating_point() else 0x55 if tensor.dtype != torch.bool else 1
        )
