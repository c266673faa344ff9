"""How a forward looks at the rolling cache: turns, slots and mask, in buffers that never move.

What changes from chunk to chunk (where the rings stand) is written into the buffers before the forward.
So the forward itself runs the same kernels on the same addresses at every chunk, once its windows are full:
one CUDA graph serves them all, whatever the rings do.

Legend: R rows, T latent frames of a chunk, W window frames, L tokens of a latent frame, P rotary pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.places import Slots
from limner.engine.dit.rope import frame_turns

MOST_INDICES = 64
"""Index tensors kept at once, a few numbers each. Steady rows need as many as the ring has slots."""


@dataclass(frozen=True)
class ForwardKey:
    """Forwards of one cache with equal keys run the same kernels on the same addresses."""

    first_row: int
    rows: int
    frames: int
    """Latent frames of a chunk."""
    filled: int
    """Slots that the fullest of the rows has filled, this chunk included."""
    masked: bool
    """Whether some row has filled fewer."""


class View:
    """The buffers. `look` fills them for a forward; the rest are views of what it needs."""

    def __init__(self, config: DiTConfig, *, rows: int, grid: tuple[int, int], device: torch.device) -> None:
        window, self._tokens = config.window_frames, grid[0] * grid[1]
        self._window = window
        self._turns_WLP2 = frame_turns(
            frames=window,
            rows=grid[0],
            columns=grid[1],
            head_dim=config.head_dim,
            theta=config.rope_theta,
            device=device,
        )
        shape = self._turns_WLP2.shape[1:]
        self._key_turns = torch.zeros(rows, window, *shape, device=device)
        self._query_turns = torch.zeros(rows, config.recent_frames, *shape, device=device)
        self._targets = torch.zeros(rows * config.recent_frames, dtype=torch.int64, device=device)
        self._seen = torch.zeros(rows, window, self._tokens, dtype=torch.bool, device=device)
        self._indices: dict[Slots, Tensor] = {}
        self.key = ForwardKey(first_row=0, rows=0, frames=0, filled=0, masked=False)

    def look(self, rows: range, slots: Sequence[Slots], places: Sequence[Slots]) -> None:
        """Make ready for a chunk a row, which goes to `slots`, when the rows' filled slots have `places`."""
        filled = max(map(len, places))
        self.key = ForwardKey(
            first_row=rows.start,
            rows=len(rows),
            frames=len(slots[0]),
            filled=filled,
            masked=any(len(row) < filled for row in places),
        )
        padded = [(*row, *[0] * (filled - len(row))) for row in places]
        asked = [tuple(row[slot] for slot in to) for row, to in zip(places, slots, strict=True)]
        self._fill(self._key_turns[: len(rows), :filled], padded)
        self._fill(self._query_turns[: len(rows), : len(slots[0])], asked)
        targets = tuple(row * self._window + slot for row, to in zip(rows, slots, strict=True) for slot in to)
        self._targets[: len(targets)].copy_(self._index(targets))
        if self.key.masked:
            for seen_WL, row in zip(self._seen, places, strict=False):
                seen_WL[: len(row)] = True
                seen_WL[len(row) :] = False

    @property
    def tokens(self) -> int:
        """Tokens of the filled slots, from the first slot on."""
        return self.key.filled * self._tokens

    @property
    def key_turns(self) -> Tensor:
        """[R, tokens, P, 2]"""
        return self._key_turns[: self.key.rows, : self.key.filled].flatten(1, 2)

    @property
    def query_turns(self) -> Tensor:
        """[R, T*L, P, 2]"""
        return self._query_turns[: self.key.rows, : self.key.frames].flatten(1, 2)

    @property
    def targets(self) -> Tensor:
        """[R*T], where the chunks' frames go: row * W + slot, the row counted from the cache's first."""
        return self._targets[: self.key.rows * self.key.frames]

    @property
    def mask(self) -> Tensor | None:
        """[R, 1, 1, tokens], true where a row's slot is filled; None when all are."""
        if not self.key.masked:
            return None
        return self._seen[: self.key.rows, : self.key.filled].flatten(1)[:, None, None]

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        buffers = (self._turns_WLP2, self._key_turns, self._query_turns, self._targets, self._seen)
        return sum(buffer.nbytes for buffer in buffers)

    def _fill(self, turns_RFLP2: Tensor, places: Sequence[Slots]) -> None:
        index = self._index(tuple(place for row in places for place in row))
        turns_RFLP2.copy_(self._turns_WLP2.index_select(0, index).view_as(turns_RFLP2))

    def _index(self, numbers: Slots) -> Tensor:
        """The numbers on the device; made once and kept, so that steady chunks send nothing there."""
        if numbers not in self._indices:
            if len(self._indices) >= MOST_INDICES:
                self._indices.clear()
            host = torch.tensor(numbers, dtype=torch.int64)
            self._indices[numbers] = host.to(self._turns_WLP2.device, non_blocking=True)
        return self._indices[numbers]
