"""The denoising stage: n steps as a stream batch, one forward of n rows, each a chunk at its own noise level.

A chunk enters row 0 and moves down a row at every push; it comes out clean of the last. So the output lags
n - 1 chunks. Each row has its own history, which is at the row's noise level.

Legend: R rows in use, T latent frames of a chunk, C channels, H×W latent pixels.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.model import CausalDiT, TextContext
from limner.engine.noise import NoiseSource
from limner.engine.schedule import add_noise, predict_clean
from limner.engine.types import CleanChunk, NoisedChunk


@dataclass
class _Flight:
    """A chunk between its steps; `x_TCHW` is at the noise level of its next step."""

    chunk: NoisedChunk
    x_TCHW: Tensor


class Denoiser:
    """Denoises the chunks of one stream. Streaming stage: push, flush, reset."""

    def __init__(
        self,
        dit: CausalDiT,
        *,
        steps: int,
        latent_size: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._dit, self._dtype = dit, dtype
        self._cache = KVCache(dit.config, rows=steps, grid=dit.grid(*latent_size), device=device, dtype=dtype)
        self._steps = steps
        self._first_row = 0
        self._flights: deque[_Flight] = deque()
        self._text: TextContext | None = None

    @property
    def steps(self) -> int:
        """Rows of the stream batch."""
        return self._steps

    def set_text(self, text: TextContext) -> None:
        """Paint this from now on; the history stays. `text` has one row."""
        self._text = text

    def set_steps(self, steps: int) -> None:
        """Change the number of rows without a cut: row 0's history goes on. `flush` first."""
        assert not self._flights, "chunks in flight"
        if steps != self._steps:
            self._cache = self._cache.with_rows(steps)
            self._steps = steps

    def push(self, chunk: NoisedChunk, noise: NoiseSource) -> CleanChunk | None:
        """Take one chunk in, move all down a row; the chunk that is done, if one is."""
        self._flights.appendleft(_Flight(chunk, chunk.x_TCHW))
        self._first_row = 0
        return self._advance(noise)

    def flush(self, noise: NoiseSource) -> list[CleanChunk]:
        """Finish all chunks on their way, oldest first."""
        done: list[CleanChunk] = []
        while self._flights:
            self._first_row += 1
            clean = self._advance(noise)
            done += [] if clean is None else [clean]
        return done

    def reset(self) -> None:
        """Forget the history and the chunks on their way."""
        self._flights.clear()
        self._cache.reset()

    def _advance(self, noise: NoiseSource) -> CleanChunk | None:
        rows = range(self._first_row, self._first_row + len(self._flights))
        if all(flight.chunk.is_clean for flight in self._flights):
            self._cache.reset()  # It would be stale when painting begins again.
        else:
            self._step(rows, noise)
        if rows[-1] < self._steps - 1:
            return None
        chunk = (done := self._flights.pop()).chunk
        return CleanChunk(
            index=chunk.index, revision=chunk.revision, latents_TCHW=done.x_TCHW, strength=chunk.strength
        )

    def _step(self, rows: range, noise: NoiseSource) -> None:
        """One forward for the rows in use; leaves each chunk at the noise level of its next row."""
        assert self._text is not None, "set_text comes first"
        x_RTCHW = torch.stack([flight.x_TCHW for flight in self._flights])
        frames = x_RTCHW.shape[1]
        sigma_R = torch.stack(
            [flight.chunk.told_N[row] for row, flight in zip(rows, self._flights, strict=True)]
        )
        self._cache.begin(rows=rows, frames=frames)
        velocity = self._dit.forward_chunk(
            x_RTCHW.to(self._dtype),
            sigma_R[:, None].expand(-1, frames),
            self._text.expanded(len(rows)),
            self._cache,
        )
        self._cache.commit()
        # By the level that the model was told, offset and all: its velocity is for that level.
        clean_RTCHW = predict_clean(x_RTCHW, velocity.float(), sigma_R.view(-1, 1, 1, 1, 1))
        for row, flight, clean in zip(rows, self._flights, clean_RTCHW, strict=True):
            last = row == self._steps - 1
            flight.x_TCHW = (
                clean if last else add_noise(clean, noise.draw(frames), flight.chunk.sigmas_N[row + 1])
            )
