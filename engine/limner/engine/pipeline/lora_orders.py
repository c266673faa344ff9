"""LoRAs that all ranks read, and that all put in force between the same two forwards.

In two steps, as on one device: reading is slow or fails, beside the work, and changes nothing. Rank 0 says
when, in the order of all commands.
"""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable
from concurrent.futures import Future

import torch

from limner.engine.errors import WeightsError
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.beside import beside
from limner.engine.pipeline.loras import RankLoras, ReadyLoras
from limner.engine.pipeline.ring import PipelineError, Ring

_LOOK_S = 0.1
Files = tuple[c.LoraFile, ...]


class LoraAsking:
    """Rank 0's end: asks all others to read LoRAs. One thread asks at a time."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._heard: queue.SimpleQueue[tuple[int, c.LorasRead]] = queue.SimpleQueue()

    def heard(self, rank: int, report: c.LorasRead) -> None:
        """A rank has read them, or cannot."""
        self._heard.put((rank, report))

    def ask(self, ring: Ring, files: Files, name_of: Callable[[int], str]) -> None:
        """Let all other ranks read these, and wait until they have. Not on the thread that drives.

        Raises WeightsError, naming rank and file, when one cannot, PipelineError when the ranks fail.
        """
        number = next(self._numbers)
        ring.do(lambda: ring.first.tell(c.ReadLoras(number=number, files=files))).result()
        missing = set(range(1, ring.first.size))
        while missing:
            if ring.fault is not None:
                raise PipelineError(f"ranks were lost while they read LoRAs: {ring.fault}")
            try:
                rank, report = self._heard.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if report.number != number:
                continue  # Of a time when nobody waited any more.
            if report.fault:
                raise WeightsError(f"{name_of(rank)}: {report.fault}")
            missing.discard(rank)


class LoraDuty:
    """The end of every other rank. For the thread that computes."""

    def __init__(self, loras: RankLoras, device: torch.device) -> None:
        self._loras, self._device = loras, device
        self._reading: tuple[c.ReadLoras, Future[ReadyLoras]] | None = None
        self._is_said = True

    def read(self, command: c.ReadLoras) -> None:
        """Begin to read beside the work."""
        self._reading = (command, beside(lambda: self._loras.read(command.files), self._device))
        self._is_said = False

    def report(self) -> c.LorasRead | None:
        """That they are read, or cannot be; once."""
        if self._is_said or self._reading is None or not self._reading[1].done():
            return None
        command, ready = self._reading
        self._is_said = True
        return c.LorasRead(number=command.number, fault=_words(ready.exception()))

    @property
    def is_reading(self) -> bool:
        """There will be something to report soon."""
        return not self._is_said

    def ready(self, files: Files) -> ReadyLoras:
        """What is to be put in force; read now where that was not asked for before."""
        reading, self._reading = self._reading, None
        self._is_said = True
        if reading is not None and reading[0].files == files:
            return reading[1].result()
        return self._loras.read(files)

    def begin(self, files: Files, use: Callable[[ReadyLoras], None]) -> str:
        """Have these as a generation begins; or none, and why."""
        try:
            if files != self._loras.in_force:
                use(self._loras.read(files))
        except Exception as fault:  # Of files from anywhere: a look fails, not the rank.
            use(self._loras.read(()))
            return _words(fault)
        return ""


def _words(fault: BaseException | None) -> str:
    return "" if fault is None else (str(fault) or type(fault).__name__)[:500]
