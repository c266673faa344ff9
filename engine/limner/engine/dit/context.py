"""What the blocks look at when they attend to the text.

Legend: R rows, N tokens, H heads, K width of a head, S text tokens, E width of a text token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from limner.engine.dit.attention import Text, attention


@dataclass(frozen=True, eq=False)
class TextContext:
    """What the blocks need of a prompt: keys and values per layer, made once per prompt.

    Of one row, which then serves any number of rows, or of as many rows as the queries have.
    """

    keys: tuple[Tensor, ...]
    """Per layer [R, S, H, K]."""
    values: tuple[Tensor, ...]
    """Per layer [R, S, H, K]."""
    mask: Tensor | None
    """[R, 1, 1, S], true where a text token counts, or what to add to its scores; None when all count."""
    source: tuple[Tensor, Tensor | None]
    """Embedding [R, S, E] and mask [R, S] that it was made of: small, and enough to make it again."""

    def attend(self, layer: int, q_RNHK: Tensor) -> Tensor:
        """Attention of the queries over the text, as [R, N, H*K]."""
        return attention_to_text(q_RNHK, self.keys[layer], self.values[layer], self.mask)


def attention_to_text(q_RNHK: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Attention over texts, [R, N, H*K]: a text for each row of queries, or one for all of them."""
    rows = len(q_RNHK)
    if len(keys) == rows:
        return attention(q_RNHK, keys, values, mask)
    # One text for all: the rows are one long row of queries, and nothing is repeated.
    out_1MD = attention(q_RNHK.flatten(0, 1)[None], keys, values, mask)
    return out_1MD.view(rows, -1, out_1MD.shape[-1])


@dataclass(frozen=True)
class TextRows:
    """Several texts, each for a number of neighbouring rows."""

    runs: tuple[tuple[int, TextContext], ...]

    def attend(self, layer: int, q_RNHK: Tensor) -> Tensor:
        """Attention of each row's queries over its text, as [R, N, H*K]."""
        parts = q_RNHK.split_with_sizes([rows for rows, _ in self.runs])
        outs = [text.attend(layer, part) for (_, text), part in zip(self.runs, parts, strict=True)]
        return torch.cat(outs)


def text_of_rows(texts: Sequence[TextContext]) -> Text:
    """One text a row (each of one row) → what a forward of these rows takes; equal neighbours share."""
    groups = [list(group) for _, group in groupby(texts, key=id)]
    if len(groups) == 1:
        return groups[0][0]
    return TextRows(tuple((len(group), group[0]) for group in groups))
