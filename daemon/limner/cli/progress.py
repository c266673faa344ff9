"""Progress on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from limner.cli.console import err
from limner.cli.figures import Figures

PLAIN_PERIOD_S = 2.0


class Progress:
    """Shows how far a run is. Use it as a context manager."""

    def __init__(self, what: str, total: int | None, unit: str = "frames") -> None:
        self._what, self._total, self._unit = what, total, unit
        self._console = err()
        self._said_at = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, figures="")

    def note(self, sentence: str) -> None:
        """Show a sentence in place of the figures (waiting, loading)."""
        if self._console.is_terminal:
            self._bar.update(self._task, figures=sentence)
        else:
            self._plain(f"{self._what}: {sentence}")

    def update(self, done: int, figures: Figures) -> None:
        """Show that `done` units are done."""
        text = f"{figures.recent_fps():.1f} fps, {figures.recent_latency_ms():.0f} ms"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, figures=text)
        else:
            total = f"/{self._total}" if self._total else ""
            self._plain(f"{self._what}: {done}{total} {self._unit}, {text}")

    def _plain(self, line: str) -> None:
        now = time.monotonic()
        if now - self._said_at >= PLAIN_PERIOD_S:
            self._said_at = now
            self._console.print(line, markup=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
