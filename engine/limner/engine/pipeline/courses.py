"""The chunks of one stream on their way through rows and ranks: who may go on, and in which order.

A chunk goes down all rows, on each through all ranks, and takes a row only after the chunk before it has: so
each row sees the chunks in the order in which one process would show it them, and the frames are the same.
Chunks of one stream follow one another as closely as that allows.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from concurrent.futures import Future

from torch import Tensor

from limner.engine.denoiser import cleaned, finished
from limner.engine.dit.context import TextContext
from limner.engine.dit.window import Window
from limner.engine.noise import NoiseSource
from limner.engine.types import CleanChunk, NoisedChunk

REMEMBERED_CHUNKS = 4
"""By which the past of a decoder is made again that was lost. Pocket's remembers no further back."""


class Flight:
    """One chunk on its way."""

    def __init__(self, chunk: NoisedChunk, number: int, row: int = 0) -> None:
        self.chunk, self.number = chunk, number
        """The number among the flights of all streams: the oldest go first."""
        self.row = row
        """The next that it takes; it has taken all before."""
        self.waits = False
        """For the velocity of the row that it took last."""
        self.done: Future[list[CleanChunk]] = Future()

    @property
    def is_over(self) -> bool:
        """It has been through all rows."""
        return self.row == self.chunk.steps and not self.waits


class Course:
    """All flights of one stream, oldest first."""

    def __init__(self, number: int, noise: NoiseSource, window: Window) -> None:
        self.number, self.window = number, window
        """The number by which the ranks know it."""
        self._noise = noise
        self.flights: deque[Flight] = deque()
        self.text: TextContext | None = None
        """Of the newest chunk."""
        self.past: deque[tuple[int, tuple[Tensor, Tensor, TextContext]]] = deque()
        """Rows, and chunks that they saw in a ring that is over. Flights wait until they are seen again."""
        self.shown: deque[Tensor] = deque(maxlen=REMEMBERED_CHUNKS)
        """Clean latents [T, C, H, W] of the newest chunks of its context, for a decoder that is lost."""
        self.is_closing = False
        """It is over as soon as its flights are."""

    def next(self) -> Flight | None:
        """The oldest flight that may take its next row now."""
        before: Flight | None = None
        for flight in self.flights:
            free = before is None or before.row > flight.row
            if not flight.waits and free:
                # It takes rows of the window as they are, so one that wants others waits for all before it.
                return flight if before is None or self.fits(flight.chunk) else None
            if not self.fits(flight.chunk):
                return None
            before = flight
        return None

    def fits(self, chunk: NoisedChunk) -> bool:
        """Whether the window has the rows and the size that the chunk wants."""
        return (chunk.steps, chunk.latent_size) == (self.window.rows, self.window.latent_size)

    def come(self, flight: Flight, velocity_TCHW: Tensor) -> None:
        """The velocity of the row that a flight took last: its chunk is at the level of the next row now."""
        x_TCHW = cleaned(flight.chunk, flight.row - 1, velocity_TCHW, self._noise)
        flight.chunk = dataclasses.replace(flight.chunk, x_TCHW=x_TCHW)
        flight.waits = False

    def landed(self) -> list[tuple[Flight, CleanChunk]]:
        """Flights that are over, oldest first; they are no longer on the course."""
        over = []
        while self.flights and self.flights[0].is_over:
            flight = self.flights.popleft()
            over.append((flight, finished(flight.chunk)))
            self._note(over[-1][1])
        return over

    def _note(self, clean: CleanChunk) -> None:
        latents_TCHW = clean.latents_TCHW
        if clean.is_cut or (self.shown and self.shown[-1].shape[1:] != latents_TCHW.shape[1:]):
            self.shown.clear()
        self.shown.append(latents_TCHW)
