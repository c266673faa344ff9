"""What is done to the parts of a DiT once their weights are there, on their final device."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from limner.engine.dit.attention import SelfAttention
from limner.engine.dit.linear import Linear
from limner.engine.dit.quantised import WeightKind

Finish = Callable[[str, nn.Module], None]
"""Changes a part of a DiT that is full; called with its name and itself, the parts of a part first."""


def finisher(kind: WeightKind) -> Finish:
    """For whoever fills a DiT on its final device, part by part.

    Quantises the linear layers of the blocks, where nearly all numbers are (embeddings, modulation and head
    stay), and fuses queries, keys and values. Part by part, the wide weights never exist all at once, and the
    next block takes the memory that this one gave back. EngineError where the device cannot have this kind.
    """

    def finish(name: str, module: nn.Module) -> None:
        if isinstance(module, Linear) and "blocks" in name.split("."):
            module.quantise(kind)
        elif isinstance(module, SelfAttention):
            module.fuse()

    return finish


def finish_all(dit: nn.Module, finish: Finish) -> None:
    """Finish a DiT that is full already."""
    for name, module in reversed(list(dit.named_modules())):
        finish(name, module)
