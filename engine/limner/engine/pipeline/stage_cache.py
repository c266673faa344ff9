"""The rolling cache of a rank: of the blocks that it holds, each by itself, so that they can come and go.

Where the rings stand is plain arithmetic, which every rank does for itself and tells none. Only which sink
gives way to a new frame is one decision for all blocks, made of all of them: each rank says how like the
sinks the frame is in its blocks (`likeness`), the first rank decides, and all of them follow (`follow`).
Until then the next chunk must not enter the row: with a single row, and a threshold, one chunk of a stream is
in the ring at a time. Without a threshold there is nothing to decide.

Legend: R rows, W window frames, L tokens of a latent frame, T frames of a chunk, S sinks, H heads, K width of
a head, F features of a frame (mean key and mean value of each block), X sinks and frames of the chunk.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.sinks import SinkMove, likeness
from limner.engine.errors import StateError
from limner.engine.state import StreamState


class StageCache(KVCache):
    """What the rows of one stream remember in some of the blocks."""

    def __init__(
        self, config: DiTConfig, *, rows: int, grid: tuple[int, int], device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__(config, rows=rows, grid=grid, device=device, dtype=dtype)
        self._by_layer: dict[int, tuple[Tensor, Tensor]] = {}

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

    def held_from(self, row: int, frames: int) -> int:
        """The first frame of a row's next chunk that is held against the sinks; `frames` if none is."""
        has_sinks = self.config.sink_threshold > 0 and self.config.sink_frames > 0
        if not has_sinks:
            return frames
        return min(max(self.config.window_frames - self._counts[row], 0), frames)

    def commit(self) -> list[SinkMove]:
        """The chunk is part of the history from now on. What becomes of the sinks, `follow` says later."""
        for row, slots in zip(self._rows, self._slots, strict=True):
            self._counts[row] += len(slots)
        return []

    def likeness(self, row: int, frames: int) -> Tensor:
        """How like the sinks and one another the frames of a row's last chunk are: [T, X, 2, layers].

        After `commit`. In each of the blocks that it is for; features are a mean key and a mean value.
        """
        slots = self._last_slots(row, frames)
        new_TFD = torch.stack([self._pooled(row, slot) for slot in slots])
        others_XFD = torch.cat([self._pooled_sinks(row), new_TFD])
        parts = [likeness(new_FD, others_XFD) for new_FD in new_TFD]
        return torch.stack(parts).view(frames, len(others_XFD), 2, len(self._by_layer))

    def follow(self, row: int, chosen_TS: Tensor) -> list[SinkMove]:
        """Let the frames of a row's last chunk replace the sinks that were chosen, if any were."""
        slots = self._last_slots(row, len(chosen_TS))
        moves = []
        for slot, chosen_S in zip(slots, chosen_TS, strict=True):
            move = SinkMove(row, slot, chosen_S)
            if row in self._sinks:
                new_FD, sinks_SFD = self._pooled(row, slot), self._sinks[row]
                self._sinks[row] = torch.where(chosen_S[:, None, None], new_FD, sinks_SFD)
            for pair in self._by_layer.values():
                for stored in pair:
                    move.apply(stored[row].view(self.config.window_frames, -1))
            moves.append(move)
        return moves

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

    def state(self) -> StreamState:
        """StateError: the blocks of other ranks are not here."""
        raise StateError("the state of a stream over several ranks cannot be kept; open it on one device")

    def restore(self, state: StreamState) -> None:
        """StateError: as `state`."""
        self.state()

    def _last_slots(self, row: int, frames: int) -> tuple[int, ...]:
        return self._slots_for(self._counts[row] - frames, frames)

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

    def _pooled(self, row: int, slot: int) -> Tensor:
        tokens = slice(slot * self.tokens, (slot + 1) * self.tokens)
        pairs = [self._by_layer[layer] for layer in self.layers]
        ordered = [*(keys for keys, _ in pairs), *(values for _, values in pairs)]
        if not ordered:
            return torch.zeros(0, self.config.dim, device=self._keys.device)
        return torch.stack([one[row, tokens].mean(0, dtype=torch.float32).flatten() for one in ordered])
