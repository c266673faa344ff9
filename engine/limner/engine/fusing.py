"""Chains of small operations as one kernel each, by torch.compile, where an engine wants that.

Only pure functions of tensors are compiled, and for sizes in general: a new size in the middle of a live
stream must not cost seconds. Some things are compiled anew all the same (one row or several, say): whoever
goes live paints a little in each way before, and then lets nothing more be compiled. What cannot be compiled
(this machine has no compiler, say) runs as it is from then on, and the log says so, once.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import torch

log = logging.getLogger("limner.engine")

BACKEND = "inductor"
MOST_KINDS = 64
"""Compilations of one function: for sizes of one, and for each way that tensors lie in memory."""
P = ParamSpec("P")
R = TypeVar("R")

_backend: ContextVar[str | None] = ContextVar("limner_fusing", default=None)
"""Of this thread's forwards; None: nothing is fused."""
_broken: set[str] = set()
"""Backends that turned out not to work here."""


@contextmanager
def fusing(backend: str | None) -> Iterator[None]:
    """What is `fusable` runs as one kernel inside, by this backend of torch.compile; None: as it is."""
    token = _backend.set(backend)
    try:
        yield
    finally:
        _backend.reset(token)


def compile_no_more() -> None:
    """From now on, in all of this process, what is not compiled yet runs as it is: a stream is live."""
    torch.compiler.set_stance("eager_on_recompile")


def fusable(function: Callable[P, R]) -> Callable[P, R]:
    """A pure function of tensors (and plain numbers), which `fusing` makes one kernel of."""
    compiled: dict[str, Callable[P, R]] = {}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        backend = None if torch.compiler.is_compiling() else _backend.get()
        if backend is None or backend in _broken:
            return function(*args, **kwargs)
        try:
            if backend not in compiled:
                compiled[backend] = _compiled(function, backend)
            return compiled[backend](*args, **kwargs)
        except torch.OutOfMemoryError:
            raise  # That is not the compiler's fault.
        except Exception as error:  # Compilers fail in many ways, and none of them must stop a stream.
            _broken.add(backend)
            reason = str(error).strip().split("\n")[0]
            log.warning("torch.compile does not work here, painting is slower without: %s", reason)
            return function(*args, **kwargs)

    return call


def _compiled(function: Callable[P, R], backend: str) -> Callable[P, R]:
    # Slow to import, and for those who compile only.
    from torch._dynamo.config import patch  # noqa: PLC0415

    compiled = torch.compile(function, backend=backend, dynamic=True, fullgraph=True)

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with patch(recompile_limit=MOST_KINDS):
            return compiled(*args, **kwargs)

    return call
