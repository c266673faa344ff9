"""Which of torch's attention kernels goes first.

All give the same but for rounding; which is fastest depends on the card and on torch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

from torch.nn.attention import SDPBackend, sdpa_kernel

from limner.engine.errors import ConfigError

AttentionKernel = Literal["auto", "cudnn", "flash", "efficient", "math"]
"""`auto`: torch's own order."""

_BACKENDS: dict[AttentionKernel, SDPBackend] = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


def checked_kernel(name: str) -> AttentionKernel:
    """The kernel of this name; ConfigError when there is none."""
    for known in get_args(AttentionKernel):
        if name == known:
            return known  # type: ignore[no-any-return]  # get_args has no types
    raise ConfigError(f"attention is {name!r}; it must be one of {', '.join(get_args(AttentionKernel))}")


def attention_first_by(kernel: AttentionKernel) -> AbstractContextManager[None]:
    """While open, attention runs by this kernel, or by another where it cannot (with a mask, say)."""
    if kernel == "auto":
        return nullcontext()
    first = _BACKENDS[kernel]
    return sdpa_kernel([first, *(b for b in _BACKENDS.values() if b != first)], set_priority=True)
