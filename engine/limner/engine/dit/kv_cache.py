"""The rolling KV cache: sink frames and a ring of recent frames, per layer and per denoising row.

Legend: R rows, W window frames, L tokens of a latent frame, H heads, K width of a head, P rotary pairs.

Slots [0, sinks) hold the first latent frames of the stream, for ever unless a threshold of likeness says
otherwise (see sinks.py); the others are a ring, first in first out. Keys are stored unturned and are turned
when used, by their place in the window: sinks first, then the ring from the oldest to the newest. So
positions never grow, however long the stream lasts. The slots are known on the host without asking the
device, hence no synchronisation.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from limner.engine.dit.attention import attention
from limner.engine.dit.config import DiTConfig
from limner.engine.dit.rope import frame_turns, rotate
from limner.engine.dit.sinks import SinkMove, sink_to_replace
from limner.engine.state import StreamState

Slots = tuple[int, ...]

MOST_VIEWS = 32
"""Views kept at once. Steady rows need as many as the ring has slots; only their start needs more."""


def slot_of(frame: int, *, sinks: int, window: int) -> int:
    """Slot that the stream's latent frame number `frame` goes to."""
    return frame if frame < window else sinks + (frame - sinks) % (window - sinks)


def slot_places(count: int, *, sinks: int, window: int) -> Slots:
    """Place in the window of each filled slot after `count` latent frames; the newest has the last place."""
    if count <= window:
        return tuple(range(count))
    ring = window - sinks
    oldest = (count - sinks) % ring
    return (*range(sinks), *(sinks + (slot - oldest) % ring for slot in range(ring)))


@dataclass(frozen=True)
class _View:
    """How to look at the cache at one state of the rings; made once per state and kept."""

    tokens: int
    """Tokens of the filled slots, from the first slot on."""
    key_turns: Tensor
    """[R, tokens, P]"""
    query_turns: Tensor
    """[R, N, P]"""
    mask: Tensor | None
    """[R, 1, 1, tokens], true where a row's slot is filled; None when all are."""


class Phase(NamedTuple):
    """Forwards of one phase read and write the same memory, in the same way."""

    key: Hashable
    view: object
    """Of that memory, all that is not the cache's own for ever."""


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
        shape = (config.layers, rows, config.window_frames * self.tokens, config.heads, config.head_dim)
        self._keys = torch.zeros(shape, device=device, dtype=dtype)
        self._values = torch.zeros(shape, device=device, dtype=dtype)
        self._turns_WLP = frame_turns(
            frames=config.window_frames,
            rows=grid[0],
            columns=grid[1],
            head_dim=config.head_dim,
            theta=config.rope_theta,
            device=device,
        )
        self._counts = [0] * rows
        self._rows = range(rows)
        self._slots: tuple[Slots, ...] = ()
        self._views: dict[tuple[tuple[Slots, ...], tuple[Slots, ...]], _View] = {}

    @property
    def counts(self) -> tuple[int, ...]:
        """Latent frames that each row has taken in since its reset."""
        return tuple(self._counts)

    @property
    def slots(self) -> tuple[Slots, ...]:
        """Where the frames of the chunk that has begun go, for each of its rows."""
        return self._slots

    @property
    def steady_phase(self) -> Phase | None:
        """Of the forward that has begun; None while a window fills.

        Rows at the same place of their rings, as those of a stream are, have as many phases as the ring has
        slots (over the chunk's frames, where those divide it).
        """
        tokens = self.config.window_frames * self.tokens
        if self._view.tokens < tokens or self._view.mask is not None:
            return None
        places = tuple(self._places(self._counts[row] + len(self._slots[0])) for row in self._rows)
        return Phase((self._rows, self._slots, places), self._view)

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
        self._view = self._views.get((places, self._slots)) or self._make_view(places)

    def attend(self, layer: int, q_RNHK: Tensor, k_RNHK: Tensor, v_RNHK: Tensor) -> Tensor:
        """Store the chunk's keys and values, and attend to the window with it: [R, N, H*K]."""
        rows, view = slice(self._rows.start, self._rows.stop), self._view
        self._store(self._keys[layer, rows], k_RNHK)
        self._store(self._values[layer, rows], v_RNHK)
        keys = rotate(self._keys[layer, rows, : view.tokens], view.key_turns)
        queries = rotate(q_RNHK, view.query_turns)
        return attention(queries, keys, self._values[layer, rows, : view.tokens], view.mask)

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
        """Forget one row."""
        if self._counts[row]:
            self._counts[row] = 0
            self._keys[:, row].zero_()
            self._values[:, row].zero_()

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
        self._counts = [int(count) for count in state.fact("counts", list)]

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
        return other

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
        """Let the frame in a slot replace a sink of all layers, if one is so unlike it."""
        sinks = [self._pooled(row, sink) for sink in range(self.config.sink_frames)]
        chosen_S = sink_to_replace(self._pooled(row, slot), torch.stack(sinks), self.config.sink_threshold)
        move = SinkMove(row, slot, chosen_S)
        for cache in (self._keys, self._values):
            move.apply(cache[:, row].view(self.config.layers, self.config.window_frames, -1))
        return move

    def _pooled(self, row: int, slot: int) -> Tensor:
        """Mean key and mean value of a frame, [2 * layers, H * K], float32."""
        tokens = slice(slot * self.tokens, (slot + 1) * self.tokens)
        caches = (self._keys, self._values)
        return torch.cat([c[:, row, tokens].mean(1, dtype=torch.float32).flatten(1) for c in caches])

    def _store(self, cache_RNHK: Tensor, chunk_RNHK: Tensor) -> None:
        for row, slots in enumerate(self._slots):
            for i, slot in enumerate(slots):
                chunk = chunk_RNHK[row, i * self.tokens : (i + 1) * self.tokens]
                cache_RNHK[row, slot * self.tokens : (slot + 1) * self.tokens].copy_(chunk)

    def _make_view(self, places: tuple[Slots, ...]) -> _View:
        filled = max(map(len, places))
        padded = [(*row, *[0] * (filled - len(row))) for row in places]
        mask = None
        if any(len(row) < filled for row in places):
            seen = torch.zeros(len(places), 1, 1, filled * self.tokens, dtype=torch.bool)
            for i, row in enumerate(places):
                seen[i, ..., : len(row) * self.tokens] = True
            mask = seen.to(self._keys.device)
        view = _View(
            tokens=filled * self.tokens,
            key_turns=self._turns(padded),
            query_turns=self._turns(
                [tuple(places[i][slot] for slot in slots) for i, slots in enumerate(self._slots)]
            ),
            mask=mask,
        )
        if len(self._views) >= MOST_VIEWS:
            self._views.clear()
        self._views[places, self._slots] = view
        return view

    def _turns(self, places: list[Slots]) -> Tensor:
        return torch.stack([torch.cat([self._turns_WLP[place] for place in row]) for row in places])
