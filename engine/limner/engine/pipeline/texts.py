"""Texts over several ranks: embedded once, on the first; each rank makes the keys and values of its blocks.

Legend: R rows, S text tokens, D width, N tokens, H heads, K width of a head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from limner.engine.dit.context import TextContext, attention_to_text

if TYPE_CHECKING:
    from limner.engine.pipeline.part_dit import PartDiT


@dataclass(frozen=True, eq=False)
class EmbeddedText(TextContext):
    """A text as it goes to the ranks: its tokens are embedded, and it has no keys and values."""

    text_RSD: Tensor
    """What the blocks make keys and values of."""


class StageText:
    """A text on a rank: keys and values of the blocks that it holds. Implements `Text`."""

    def __init__(self, dit: PartDiT, text_RSD: Tensor, mask: Tensor | None) -> None:
        self._dit, self._text_RSD, self.mask = dit, text_RSD, mask
        self._pairs: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(self, layer: int, q_RNHK: Tensor) -> Tensor:
        """Attention of the queries over the text, as [R, N, H*K]."""
        return attention_to_text(q_RNHK, *self._pairs[layer], self.mask)

    def add(self, layers: Iterable[int]) -> None:
        """The rank holds these blocks from now on."""
        for layer in layers:
            self._pairs[layer] = self._dit.cross_keys_values(layer, self._text_RSD)

    def drop(self, layers: Iterable[int]) -> None:
        """The rank no longer holds them."""
        for layer in layers:
            del self._pairs[layer]

    def tensors(self) -> list[Tensor]:
        """Keys and values of all its blocks, and the mask."""
        pairs = [self._pairs[layer] for layer in sorted(self._pairs)]
        return [*(k for k, _ in pairs), *(v for _, v in pairs), *([] if self.mask is None else [self.mask])]

    def over(self, tensors: Sequence[Tensor]) -> StageText:
        """The same text with other tensors for those of `tensors()`."""
        layers, count = sorted(self._pairs), len(self._pairs)
        mask = None if self.mask is None else tensors[-1]
        other = StageText(self._dit, self._text_RSD, mask)
        other._pairs = {layer: (tensors[i], tensors[count + i]) for i, layer in enumerate(layers)}
        return other
