"""The rolling cache of a rank: of the blocks that it holds, each by itself, so that they can come and go.

Where the rings stand is plain arithmetic, which every rank does for itself and tells none. Which sink gives
way to a new frame, each block decides for itself, and nobody waits to hear of it. Only what went in as that
frame is on the first rank alone: so ranks count, along the ring, how many blocks chose each sink (`votes`).

Legend: R rows, W window frames, L tokens of a latent frame, T frames of a chunk, S sinks, H heads, K width of
a head, M blocks that it is for, P a mean key and a mean value, D width of either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.sinks import SinkMove
from limner.engine.state import StreamState


class StageCache(KVCache):
    """What the rows of one stream remember in some of the blocks."""

    def __init__(
        self, config: DiTConfig, *, rows: int, grid: tuple[int, int], device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__(config, rows=rows, grid=grid, device=device, dtype=dtype)
        self._by_layer: dict[int, tuple[Tensor, Tensor]] = {}
        self._moves: list[SinkMove] = []

    @property
    def layers(self) -> list[int]:
        """Blocks that it is for."""
        return sorted(self._by_layer)

    @property
    def layer_shape(self) -> torch.Size:
        """[R, W*L, H, K], of the keys or the values of one block."""
        return self._keys.shape[1:]

    def add(self, layers: Iterable[int]) -> None:
        """Be for these blocks as well, of which nothing is remembered yet."""
        for layer in layers:
            self._by_layer[layer] = (self._blank(), self._blank())
        self._sinks.clear()

    def drop(self, layers: Iterable[int]) -> None:
        """Forget these blocks."""
        for layer in layers:
            del self._by_layer[layer]
        self._sinks.clear()

    def pair(self, layer: int) -> tuple[Tensor, Tensor]:
        """All that is remembered in a block: keys and values, [R, W*L, H, K] each. To read, or to fill."""
        return self._by_layer[layer]

    def fill_in(self, layer: int, packet: Sequence[Tensor], *, is_asked: bool) -> None:
        """Put what is remembered in a block into a packet, or take it from there; if it is for the block."""
        if (pair := self._by_layer.get(layer)) is None:
            return
        sources, targets = (pair, packet) if is_asked else (packet, pair)
        for source, target in zip(sources, targets, strict=True):
            target.copy_(source, non_blocking=True)

    def may_replace_sinks(self, row: int, frames: int) -> bool:
        """Whether some frame of a row's next chunk is held against the sinks."""
        has_sinks = self.config.sink_threshold > 0 and self.config.sink_frames > 0
        return has_sinks and self._counts[row] + frames > self.config.window_frames

    def commit(self) -> list[SinkMove]:
        """As `KVCache.commit`, in the blocks that it is for."""
        self._moves = super().commit()
        return self._moves

    def votes(self, frames: int) -> Tensor:
        """In how many of its blocks the frames of the last chunk took each sink's place: int32 [T, S].

        After `commit`, where some could.
        """
        votes = [move.votes_S for move in self._moves]
        none_S = torch.zeros_like(votes[0])
        return torch.stack([*[none_S] * (frames - len(votes)), *votes])

    def with_rows(self, rows: int) -> StageCache:
        """As `KVCache.with_rows`."""
        config, like = self.config, self._keys
        other = StageCache(config, rows=rows, grid=self.grid, device=like.device, dtype=like.dtype)
        sources = [min(row, len(self._counts) - 1) for row in range(rows)]
        other._by_layer = {
            layer: (keys[sources], values[sources]) for layer, (keys, values) in self._by_layer.items()
        }
        other._counts = [self._counts[source] for source in sources]
        other._stale = [set(self._stale[source]) for source in sources]
        return other

    def go_on_from(self, counts: Sequence[int]) -> None:
        """Rows have taken in so many latent frames; what is remembered of them, others fill in."""
        self._counts = list(counts)
        for row, stale in enumerate(self._stale):
            stale.update(range(len(self._places(self._counts[row])), self.config.window_frames))

    def state(self) -> NoReturn:
        """The blocks of other ranks are not here: see keeping.py."""
        raise AssertionError("a cache of one rank is no state")

    def restore(self, state: StreamState) -> NoReturn:
        """As `state`."""
        self.state()

    def _blank(self) -> Tensor:
        return self._keys.new_zeros(self._keys.shape[1:])

    def _layers_in_one(self, config: DiTConfig) -> int:
        return 0

    def _stored(self, layer: int) -> tuple[Tensor, Tensor]:
        return self._by_layer[layer]

    def _wipe(self, row: int, tokens: slice) -> None:
        for keys, values in self._by_layer.values():
            keys[row, tokens].zero_()
            values[row, tokens].zero_()

    def _copy_frame(self, row: int, slot: int, to_M: Tensor) -> None:
        for number, layer in enumerate(self.layers):
            for stored in self._by_layer[layer]:
                slots_WX = stored[row].view(self.config.window_frames, -1)
                slots_WX.index_copy_(0, to_M[number : number + 1], slots_WX[slot : slot + 1].clone())

    def _pooled(self, row: int, slot: int) -> Tensor:
        tokens = slice(slot * self.tokens, (slot + 1) * self.tokens)
        if not self._by_layer:
            return torch.zeros(2, 0, self.config.dim, device=self._keys.device)
        pairs = [self._by_layer[layer] for layer in self.layers]
        ordered = [*(keys for keys, _ in pairs), *(values for _, values in pairs)]
        means = [one[row, tokens].mean(0, dtype=torch.float32).flatten() for one in ordered]
        return torch.stack(means).view(2, len(pairs), -1)
