"""The denoising stage: n steps are n rows of a cache, each a history at its own noise level.

A chunk enters row 0 and moves down a row at every step; it comes out clean of the last. As a stream batch,
all rows go through the transformer at once, each with another chunk, so that the output lags n - 1 chunks.
One chunk at a time, each goes down all rows before the next enters. Row i sees the same chunks in the same
order both ways, hence the results are the same, and the two can be switched at any chunk.

Legend: R rows, T latent frames of a chunk, C channels, H×W latent pixels.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from limner.engine.dit.context import TextContext
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.together import Result, Rows, Work, run
from limner.engine.dit.window import Window
from limner.engine.flights import Texts, flights_state, restored_flights
from limner.engine.noise import NoiseSource
from limner.engine.replayed import RecorderOf, ReplayedForward, no_recorder
from limner.engine.schedule import add_noise, predict_clean
from limner.engine.state import StreamState
from limner.engine.types import CleanChunk, NoisedChunk


class AnyDenoiser(Protocol):
    """What a stream needs of its denoising stage, on one device or over several."""

    def push(self, chunk: NoisedChunk) -> list[CleanChunk]:
        """Take one chunk in; the chunks that are done, oldest first."""

    def flush(self) -> list[CleanChunk]:
        """Finish all chunks on their way, oldest first."""

    def reset(self) -> None:
        """Forget the history and the chunks on their way."""

    def pushing(self, chunk: NoisedChunk) -> Work[list[CleanChunk]]:
        """`push` as work that can share its forwards with that of other streams."""

    def state(self, texts: Texts) -> StreamState:
        """All that it remembers; StateError when that cannot be had."""

    def restore(self, state: StreamState, texts: Texts) -> None:
        """Go on from a state; StateError when it is of another model."""

    def decoder_state(self) -> StreamState | None:
        """What the decoder remembers, where chunks come decoded; None where they do not."""

    def restore_decoder(self, state: StreamState) -> None:
        """After `restore`: the same of the decoder, if it has one."""


class Denoiser:
    """Denoises the chunks of one stream. Streaming stage: push, flush, reset.

    A chunk says how it wants to be denoised: its text, its steps, as a stream batch or not. Where a chunk
    is so different from those on their way that they cannot share a forward, those are finished first. When
    something fails, the chunks on their way are lost and the next one begins a new context.
    """

    def __init__(
        self,
        dit: CausalDiT,
        noise: NoiseSource,
        *,
        steps: int,
        latent_size: tuple[int, int],
        recorder_of: RecorderOf = no_recorder,
    ) -> None:
        self._dit, self._noise = dit, noise
        self._alone = ReplayedForward(dit, recorder_of)
        self._device = dit.patch_embedding.weight.device
        self._window = self._new_window(steps, latent_size)
        self._flights: deque[NoisedChunk] = deque()

    @property
    def steps(self) -> int:
        """Rows of the window."""
        return self._window.rows

    def push(self, chunk: NoisedChunk) -> list[CleanChunk]:
        """Take one chunk in, move all down a row; the chunks that are done, oldest first."""
        return run(self._dit, self.pushing(chunk))

    def flush(self) -> list[CleanChunk]:
        """Finish all chunks on their way, oldest first."""
        return run(self._dit, self.flushing())

    def reset(self) -> None:
        """Forget the history and the chunks on their way."""
        self._flights.clear()
        self._window.reset()

    def recache(self, text: TextContext) -> None:
        """Begin the window anew with its newest chunk, as if painted under this text.

        One forward a row, whatever the window holds: a chunk that had to wait for all of it to be made anew
        came so late that the picture stood still. Of older chunks nothing is left: neither their look nor
        what the deeper layers took from them.
        """
        for row in range(self.steps):
            run(self._dit, self._recaching(row, text))

    def state(self, texts: Texts) -> StreamState:
        """The history, and the chunks on their way."""
        parts = {"window": self._window.state(), "flights": flights_state(self._flights, texts)}
        return StreamState.joined(parts)

    def restore(self, state: StreamState, texts: Texts) -> None:
        """Go on from a state of the same model; StateError when it is of another."""
        window = state.part("window")
        height, width = window.fact("latent_size", list)
        self._window = self._new_window(window.fact("rows", int), (height, width))
        self._window.restore(window)
        self._flights = deque(restored_flights(self._device, state.part("flights"), texts))

    def decoder_state(self) -> None:
        """None: whoever decodes has its own."""

    def restore_decoder(self, state: StreamState) -> None:
        """Nothing: as `decoder_state`."""

    def pushing(self, chunk: NoisedChunk) -> Work[list[CleanChunk]]:
        """`push` as work that can share its forwards with that of other streams."""
        return self._all_or_nothing(self._push(chunk))

    def flushing(self) -> Work[list[CleanChunk]]:
        """`flush` as work that can share its forwards with that of other streams."""
        return self._all_or_nothing(self._flush())

    def _all_or_nothing(self, work: Work[Result]) -> Work[Result]:
        try:
            return (yield from work)
        except BaseException:  # GeneratorExit too: a forward failed.
            self.reset()  # Rows that went half way are no history.
            raise

    def _flush(self) -> Work[list[CleanChunk]]:
        done: list[CleanChunk] = []
        first_row = 0
        while self._flights:
            first_row += 1
            done += yield from self._advance(first_row)
        return done

    def _push(self, chunk: NoisedChunk) -> Work[list[CleanChunk]]:
        late: list[CleanChunk] = []
        if not self._fits(chunk):
            late = yield from self._flush()
            self._make_fit(chunk)
        self._flights.appendleft(chunk)
        done = yield from self._advance(0)
        if not chunk.stream_batch:
            done += yield from self._flush()
        return late + done

    def _fits(self, chunk: NoisedChunk) -> bool:
        """Whether the chunk can follow those on their way."""
        shape = self._flights[0].x_TCHW.shape if self._flights else chunk.x_TCHW.shape
        wanted = (self.steps, shape, self._window.latent_size)
        return (chunk.steps, chunk.x_TCHW.shape, chunk.latent_size) == wanted

    def _make_fit(self, chunk: NoisedChunk) -> None:
        assert not self._flights, "chunks on their way"
        if chunk.latent_size != self._window.latent_size:
            self._window = self._new_window(chunk.steps, chunk.latent_size)
        elif chunk.steps != self.steps:
            self._alone.clear()
            self._window.set_rows(chunk.steps)

    def _new_window(self, steps: int, latent_size: tuple[int, int]) -> Window:
        dit = self._dit
        self._alone.clear()
        return Window(dit.config, rows=steps, latent_size=latent_size, device=self._device, dtype=dit.dtype)

    def _advance(self, first_row: int) -> Work[list[CleanChunk]]:
        """One step for all chunks on their way, the newest in `first_row`; what is done."""
        yield from self._make_contexts(first_row)
        rows = range(first_row, first_row + len(self._flights))
        for clean, group in groupby(rows, key=lambda row: self._flights[row - first_row].is_clean):
            if not clean:
                yield from self._paint(list(group), first_row)
        if rows[-1] < self.steps - 1:
            return []
        return [finished(self._flights.pop())]

    def _make_contexts(self, first_row: int) -> Work[None]:
        """What a chunk does to the history of the row that it enters.

        A new scene and a clean chunk empty it (it would be stale when painting begins again); a new text may
        have it made anew.
        """
        for row, chunk in enumerate(self._flights, first_row):
            if chunk.is_cut or chunk.is_clean:
                self._window.reset_row(row)
            elif chunk.recache:
                yield from self._recaching(row, chunk.text)

    def _recaching(self, row: int, text: TextContext) -> Work[None]:
        """`recache` for one row."""
        newest = self._window.inputs(row)[-1:]
        self._window.reset_row(row)
        for x_TCHW, told in newest:
            yield from self._forward([row], x_TCHW[None], told[None], [text])

    def _forward(
        self, rows: list[int], x_RTCHW: Tensor, told_R: Tensor, texts: list[TextContext]
    ) -> Work[Tensor]:
        """Velocity of neighbouring rows, which the window takes in."""
        self._window.begin(range(rows[0], rows[-1] + 1), x_RTCHW, told_R)
        velocity_RTCHW = yield Rows(x_RTCHW, told_R, texts, self._window.cache, self._alone)
        self._window.commit()
        return velocity_RTCHW

    def _paint(self, rows: list[int], first_row: int) -> Work[None]:
        """One forward for neighbouring rows; leaves each chunk at the noise level of its next row."""
        chunks = [self._flights[row - first_row] for row in rows]
        x_RTCHW = torch.stack([chunk.x_TCHW for chunk in chunks])
        told_R = torch.stack([chunk.told_N[row] for row, chunk in zip(rows, chunks, strict=True)])
        velocity_RTCHW = yield from self._forward(rows, x_RTCHW, told_R, [chunk.text for chunk in chunks])
        for row, chunk, velocity_TCHW in zip(rows, chunks, velocity_RTCHW, strict=True):
            x_TCHW = cleaned(chunk, row, velocity_TCHW, self._noise)
            self._flights[row - first_row] = dataclasses.replace(chunk, x_TCHW=x_TCHW)


def cleaned(chunk: NoisedChunk, row: int, velocity_TCHW: Tensor, noise: NoiseSource) -> Tensor:
    """A chunk's latents [T, C, H, W] after a row: clean, then at the noise level of the next row if any."""
    # By the level that the model was told, offset and all: its velocity is for that level.
    clean_TCHW = predict_clean(chunk.x_TCHW, velocity_TCHW, chunk.told_N[row])
    if row + 1 == chunk.steps:
        return clean_TCHW
    drawn = noise.draw(clean_TCHW.shape, seed=chunk.seed, chunk=chunk.index, step=row + 1)
    return add_noise(clean_TCHW, drawn, chunk.sigmas_N[row + 1])


def finished(chunk: NoisedChunk) -> CleanChunk:
    """A chunk that has been through all its rows."""
    return CleanChunk(
        index=chunk.index,
        revision=chunk.revision,
        latents_TCHW=chunk.x_TCHW,
        strength=chunk.strength,
        is_cut=chunk.is_cut,
        unknown_words=chunk.unknown_words,
        text_note=chunk.text_note,
        trace=chunk.trace,
    )
