"""The rolling KV cache: sink frames and a ring of recent frames, per layer and per denoising row.

Legend: R rows, W window frames, L tokens of a latent frame, H heads, K width of a head, M layers, S sinks,
P a mean key and a mean value, D width of either (all heads).

Slots [0, sinks) hold the first latent frames of the stream, for ever unless a threshold of likeness says
otherwise (see sinks.py); the others are a ring, first in first out. Keys are stored unturned and are turned
when used, by their place in the window: sinks first, then the ring from the oldest to the newest. So
positions never grow, however long the stream lasts. The host knows the slots without asking the device, hence
no synchronisation; the device reads them from buffers that never move (see view.py), hence CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from limner.engine.dit.attention import attention
from limner.engine.dit.config import DiTConfig
from limner.engine.dit.places import Slots, slot_of, slot_places
from limner.engine.dit.rope import rotate
from limner.engine.dit.sinks import SinkMove, sinks_to_replace, slots_to_fill
from limner.engine.dit.view import View
from limner.engine.state import StreamState


class KVCache:
    """What the rows of one stream remember. Implements `History` for one chunk a row.

    For each forward: `begin`, then the blocks call `attend` layer by layer, then `commit()`.
    """

    def __init__(
        self, config: DiTConfig, *, rows: int, grid: tuple[int, int], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.config = config
        self.grid = grid
        self.tokens = grid[0] * grid[1]
        layers = self._layers_in_one(config)
        shape = (layers, rows, config.window_frames * self.tokens, config.heads, config.head_dim)
        self._keys = torch.zeros(shape, device=device, dtype=dtype)
        self._values = torch.zeros(shape, device=device, dtype=dtype)
        self._view = View(config, rows=rows, grid=grid, device=device)
        self._on_host = device.type == "cpu"
        self._counts = [0] * rows
        self._rows = range(rows)
        self._slots: tuple[Slots, ...] = ()
        self._sinks: dict[int, Tensor] = {}
        """By row: what its sinks were when a frame was last held against them."""
        self._stale: list[set[int]] = [set() for _ in range(rows)]
        """By row: slots with what was forgotten, which nothing has been written over."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Latent frames that each row has taken in since its reset."""
        return tuple(self._counts)

    @property
    def slots(self) -> tuple[Slots, ...]:
        """Where the frames of the chunk that has begun go, for each of its rows."""
        return self._slots

    @property
    def steady_phase(self) -> Hashable | None:
        """Forwards of one phase, of one cache, do the same to the same memory. None while a window fills.

        There is one phase for each range of rows and length of chunk; but where the host does the work, one
        for each slot of the ring as well.
        """
        key = self._view.key
        if key.masked or key.filled < self.config.window_frames:
            return None
        return (key, self._slots) if self._on_host else key

    @property
    def nbytes(self) -> int:
        """Bytes of all that it allocates on its device, but for a few numbers."""
        return self._keys.nbytes + self._values.nbytes + self._view.nbytes

    def order(self, row: int) -> list[int]:
        """Filled slots of a row in the order of their places, so the newest is last."""
        places = self._places(self._counts[row])
        return sorted(range(len(places)), key=places.__getitem__)

    def begin(self, *, rows: range, frames: int) -> None:
        """Make room for one chunk of `frames` latent frames in each of the (neighbouring) `rows`."""
        if not 1 <= frames <= self.config.recent_frames:
            raise ValueError(f"a chunk of {frames} latent frames; the ring holds {self.config.recent_frames}")
        self._rows = rows
        self._slots = tuple(self._slots_for(self._counts[row], frames) for row in rows)
        places = tuple(self._places(self._counts[row] + frames) for row in rows)
        self._view.look(rows, self._slots, places)
        for row, own in zip(rows, places, strict=True):
            self._stale[row].difference_update(range(len(own)))
            self._wipe_stale(row, self._view.key.filled)

    def attend(self, layer: int, q_RNHK: Tensor, k_RNHK: Tensor, v_RNHK: Tensor) -> Tensor:
        """Store the chunk's keys and values, and attend to the window with it: [R, N, H*K]."""
        rows, view = slice(self._rows.start, self._rows.stop), self._view
        stored_keys, stored_values = self._stored(layer)
        store = self._store if self._on_host else self._store_by_index
        store(stored_keys, k_RNHK)
        store(stored_values, v_RNHK)
        keys = rotate(stored_keys[rows, : view.tokens], view.key_turns)
        queries = rotate(q_RNHK, view.query_turns)
        return attention(queries, keys, stored_values[rows, : view.tokens], view.mask)

    def commit(self) -> list[SinkMove]:
        """The chunk is part of the history from now on. Frames that may have replaced a sink."""
        moves: list[SinkMove] = []
        for row, slots in zip(self._rows, self._slots, strict=True):
            for slot in slots:
                if self._may_replace_sinks(row):
                    moves.append(self._move(row, slot))
                self._counts[row] += 1
        return moves

    def reset(self) -> None:
        """Forget everything; the next chunk is the first of a stream."""
        for row in range(len(self._counts)):
            self.reset_row(row)

    def reset_row(self, row: int) -> None:
        """Forget one row.

        What it held is written over, or wiped when another row's window makes a forward read there: to wipe
        all of it now would cost 7.7 GB of writing a row for 14B at 832x480, in the chunk of every cut.
        """
        self._sinks.pop(row, None)
        self._stale[row].update(range(len(self._places(self._counts[row]))))
        self._counts[row] = 0

    def state(self) -> StreamState:
        """All rows, as they are now."""
        return StreamState(
            tensors={"keys": self._keys.clone(), "values": self._values.clone()},
            facts={"counts": list(self._counts)},
        )

    def restore(self, state: StreamState) -> None:
        """Go on from a state of a cache of the same shape; StateError when it is not."""
        state.fill("keys", self._keys)
        state.fill("values", self._values)
        self._sinks.clear()
        self._counts = [int(count) for count in state.fact("counts", list)]
        for row, stale in enumerate(self._stale):
            stale.update(range(len(self._places(self._counts[row])), self.config.window_frames))

    def with_rows(self, rows: int) -> KVCache:
        """A cache of `rows` rows that go on where these stand; surplus ones are dropped.

        New rows begin with a copy of the last one's history. It is at another noise level, but of the same
        scene and look: a row without a past would paint its first chunks as if the stream had just begun,
        which shows as a jump.
        """
        other = KVCache(
            self.config, rows=rows, grid=self.grid, device=self._keys.device, dtype=self._keys.dtype
        )
        for row in range(rows):
            source = min(row, len(self._counts) - 1)
            other._keys[:, row].copy_(self._keys[:, source])
            other._values[:, row].copy_(self._values[:, source])
            other._counts[row] = self._counts[source]
            other._stale[row] = set(self._stale[source])
        return other

    def _layers_in_one(self, config: DiTConfig) -> int:
        """Layers whose keys and values are one tensor each."""
        return config.layers

    def _stored(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, [R, W*L, H, K] each."""
        return self._keys[layer], self._values[layer]

    def _wipe_stale(self, row: int, filled: int) -> None:
        """Before a forward that reads `filled` slots of a row: numbers that are masked must be numbers."""
        seen = {slot for slot in self._stale[row] if slot < filled}
        if seen:
            self._wipe(row, slice(min(seen) * self.tokens, (max(seen) + 1) * self.tokens))
            self._stale[row] -= seen

    def _wipe(self, row: int, tokens: slice) -> None:
        self._keys[:, row, tokens].zero_()
        self._values[:, row, tokens].zero_()

    def _slots_for(self, count: int, frames: int) -> Slots:
        sinks, window = self.config.sink_frames, self.config.window_frames
        return tuple(slot_of(count + i, sinks=sinks, window=window) for i in range(frames))

    def _places(self, count: int) -> Slots:
        return slot_places(count, sinks=self.config.sink_frames, window=self.config.window_frames)

    def _may_replace_sinks(self, row: int) -> bool:
        """Not before the window is full: an empty slot is nothing that a frame could be unlike."""
        has_sinks = self.config.sink_threshold > 0 and self.config.sink_frames > 0
        return has_sinks and self._counts[row] >= self.config.window_frames

    def _move(self, row: int, slot: int) -> SinkMove:
        """Let the frame in a slot replace a sink in each layer where one is so unlike it."""
        new_PMD, sinks_SPMD = self._pooled(row, slot), self._pooled_sinks(row)
        chosen_SM = sinks_to_replace(new_PMD, sinks_SPMD, self.config.sink_threshold)
        self._sinks[row] = torch.where(chosen_SM[:, None, :, None], new_PMD, sinks_SPMD)
        self._copy_frame(row, slot, slots_to_fill(chosen_SM, slot))
        return SinkMove(row, slot, chosen_SM.sum(1, dtype=torch.int32))

    def _copy_frame(self, row: int, slot: int, to_M: Tensor) -> None:
        """Copy what a slot holds to another one, in each layer its own.

        One frame is read and written, whatever there is to be done: the device alone knows what that is.
        """
        layers = torch.arange(len(to_M), device=to_M.device)
        for cache in (self._keys, self._values):
            slots_MWX = cache[:, row].view(len(to_M), self.config.window_frames, -1)
            slots_MWX[layers, to_M] = slots_MWX[:, slot].clone()

    def _pooled_sinks(self, row: int) -> Tensor:
        """[S, 2, layers, H * K]; kept from move to move, as sinks are much to read and change rarely."""
        if row not in self._sinks:
            self._sinks[row] = torch.stack([self._pooled(row, i) for i in range(self.config.sink_frames)])
        return self._sinks[row]

    def _pooled(self, row: int, slot: int) -> Tensor:
        """Mean key and mean value of a frame, [2, layers, H * K], float32."""
        tokens = slice(slot * self.tokens, (slot + 1) * self.tokens)
        caches = (self._keys, self._values)
        return torch.stack([c[:, row, tokens].mean(1, dtype=torch.float32).flatten(1) for c in caches])

    def _store(self, cache_RNHK: Tensor, chunk_RNHK: Tensor) -> None:
        """By slices: the fastest where the host does the work."""
        for row, slots, chunk in zip(self._rows, self._slots, chunk_RNHK, strict=True):
            for i, slot in enumerate(slots):
                frame = chunk[i * self.tokens : (i + 1) * self.tokens]
                cache_RNHK[row, slot * self.tokens : (slot + 1) * self.tokens].copy_(frame)

    def _store_by_index(self, cache_RNHK: Tensor, chunk_RNHK: Tensor) -> None:
        """The same at the same addresses whatever the slots, for a device that replays what it did before."""
        rows = len(chunk_RNHK)
        frames_XLD = chunk_RNHK.flatten(2).view(rows, -1, self.tokens, self.config.dim).flatten(0, 1)
        cache_RNHK.view(-1, *frames_XLD.shape[1:]).index_copy_(0, self._view.targets, frames_XLD)
