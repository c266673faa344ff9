"""Progress of a pull or a check on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from limner.cli.console import err
from limner.models.words import size

PLAIN_PERIOD_S = 2.0


class ByteMeter:
    """Shows how many bytes of how many are done; any thread may tell. Use it as a context manager."""

    def __init__(self, what: str, total_bytes: int) -> None:
        self._what, self._total_bytes = what, total_bytes
        self._console = err()
        self._lock = threading.Lock()
        self._done_bytes, self._said_at = 0, time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total_bytes, note="")

    def advance(self, size_bytes: int) -> None:
        """So many bytes more are done (fewer, when some had to be thrown away)."""
        self._bar.advance(self._task, size_bytes)
        with self._lock:
            self._done_bytes += size_bytes
            if self._console.is_terminal or time.monotonic() - self._said_at < PLAIN_PERIOD_S:
                return
            self._said_at = time.monotonic()
        line = f"{self._what}: {size(self._done_bytes)} of {size(self._total_bytes)}"
        self._console.print(line, markup=False)

    def note(self, sentence: str) -> None:
        """What is being done now."""
        self._bar.update(self._task, note=sentence)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
