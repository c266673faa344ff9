"""The window of one stream: the rolling cache, and what its frames went in as.

Keys and values belong to the text under which they were made. From the inputs they can be made anew under
another one, so that an old look does not linger in the context.

Legend: R rows, W slots, T latent frames of a chunk, C latent channels, H×W latent pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import torch
from torch import Tensor

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.sinks import most_chosen
from limner.engine.state import StreamState


class Window:
    """What each row of a stream sees. For each forward: `begin`, the blocks attend to `cache`, `commit`."""

    def __init__(
        self,
        config: DiTConfig,
        *,
        rows: int,
        latent_size: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype,
        cache_of: Callable[..., KVCache] = KVCache,
    ) -> None:
        height, width = self.latent_size = latent_size
        grid = (height // config.patch, width // config.patch)
        self.cache = cache_of(config, rows=rows, grid=grid, device=device, dtype=dtype)
        frames = config.window_frames
        self._x_RWCHW = torch.zeros(rows, frames, config.latent_channels, height, width, device=device)
        self._told_RW = torch.zeros(rows, frames, device=device)
        self._chunks = [[0] * frames for _ in range(rows)]
        """Number of the chunk that each slot's frame came with."""
        self._eras = [object() for _ in range(rows)]

    @property
    def rows(self) -> int:
        """Denoising rows."""
        return len(self._chunks)

    def era(self, row: int) -> object:
        """Of a row: another one as soon as it forgets; None where there is no such row."""
        return self._eras[row] if row < self.rows else None

    def begin(self, rows: range, x_RTCHW: Tensor, told_R: Tensor) -> None:
        """Make room for a chunk in each of the (neighbouring) rows, and keep what goes in."""
        self.cache.begin(rows=rows, frames=x_RTCHW.shape[1])
        self.keep(rows, x_RTCHW, told_R)

    def keep(self, rows: range, x_RTCHW: Tensor, told_R: Tensor) -> None:
        """Keep what goes in. Only for those whose cache somebody else has told of these chunks."""
        for i, (row, slots) in enumerate(zip(rows, self.cache.slots, strict=True)):
            number = max(self._chunks[row]) + 1
            for x_CHW, slot in zip(x_RTCHW[i], slots, strict=True):
                self._x_RWCHW[row, slot].copy_(x_CHW)
                self._told_RW[row, slot].copy_(told_R[i])
                self._chunks[row][slot] = number

    def commit(self) -> None:
        """The chunks are part of the history from now on."""
        for move in self.cache.commit():
            row, slot = move.row, move.slot
            self.replace_sinks(row, move.votes_S, self._x_RWCHW[row, slot], self._told_RW[row, slot])

    def replace_sinks(self, row: int, votes_S: Tensor, x_CHW: Tensor, told: Tensor) -> None:
        """Let what went in as a frame take the place of a sink's, where it did so in most of the cache."""
        config = self.cache.config
        chosen_S = most_chosen(votes_S, config.layers)
        x_SCHW, told_S = self._x_RWCHW[row, : config.sink_frames], self._told_RW[row, : config.sink_frames]
        x_SCHW.copy_(torch.where(chosen_S[:, None, None, None], x_CHW, x_SCHW))
        told_S.copy_(torch.where(chosen_S, told, told_S))

    def inputs(self, row: int) -> list[tuple[Tensor, Tensor]]:
        """What is in the window of a row, oldest first, by chunks: latents [T, C, H, W] and told sigma [].

        Copies. Of a chunk that is evicted in part, the rest.
        """
        order = self.cache.order(row)
        groups = [list(slots) for _, slots in groupby(order, key=lambda slot: self._chunks[row][slot])]
        x_WCHW, told_W = self._x_RWCHW[row], self._told_RW[row]
        return [(torch.stack([x_WCHW[i] for i in slots]), told_W[slots[0]].clone()) for slots in groups]

    def reset(self) -> None:
        """Forget everything."""
        for row in range(self.rows):
            self.reset_row(row)

    def reset_row(self, row: int) -> None:
        """Forget one row."""
        self.cache.reset_row(row)
        self._eras[row] = object()

    def set_rows(self, rows: int) -> None:
        """Go on with more or fewer rows; new ones begin as copies of the last."""
        sources = [min(row, self.rows - 1) for row in range(rows)]
        self.cache = self.cache.with_rows(rows)
        self._x_RWCHW = torch.stack([self._x_RWCHW[source] for source in sources])
        self._told_RW = torch.stack([self._told_RW[source] for source in sources])
        self._chunks = [list(self._chunks[source]) for source in sources]
        self._eras = [object() for _ in sources]

    def state(self, cache: StreamState | None = None) -> StreamState:
        """All rows, as they are now. `cache`: of the cache, where that cannot know its own."""
        inputs = StreamState(
            tensors={"x": self._x_RWCHW.clone(), "told": self._told_RW.clone()},
            facts={"chunks": [list(row) for row in self._chunks]},
        )
        facts = {"rows": self.rows, "latent_size": list(self.latent_size)}
        return StreamState.joined({"cache": cache or self.cache.state(), "inputs": inputs}, facts)

    def restore(self, state: StreamState) -> None:
        """Go on from a state of a window of the same shape; StateError when it is not."""
        self.restore_inputs(state.part("inputs"))
        self.cache.restore(state.part("cache"))

    def restore_inputs(self, inputs: StreamState) -> None:
        """Only what went in. For those whose cache somebody else restores."""
        inputs.fill("x", self._x_RWCHW)
        inputs.fill("told", self._told_RW)
        self._chunks = [[int(number) for number in row] for row in inputs.fact("chunks", list)]
