"""The worker as the daemon sees it: its state, and whether it still gets on."""

from __future__ import annotations

from typing import Literal

from limner.daemon.metrics import NS_PER_S
from limner.daemon.protocol import WorkerInfo
from limner.daemon.worker_protocol import Loading, Ready, Report

# A worker that paints and finishes no chunk for this long hangs ...
HANG_NS = 15 * NS_PER_S
# ... and one that says nothing at all for this long does so too (imports may hold its threads up).
MUTE_NS = 30 * NS_PER_S


class WorkerView:
    """What is known of the worker process."""

    def __init__(self) -> None:
        self.info = WorkerInfo(state="stopped", sentence="Starting the painter")
        self.progress = 0.0
        self.restarts = 0
        self._last_word_ns = 0
        self._chunks = -1
        self._progress_ns = 0
        self._busy = False

    @property
    def ready(self) -> bool:
        """The worker takes sessions."""
        return self.info.state == "ready"

    def started(self, pid: int, now_ns: int) -> None:
        """Note a new process."""
        self.info = WorkerInfo(
            state="loading", pid=pid, restarts=self.restarts, sentence="Starting the painter"
        )
        self.progress, self._chunks, self._busy = 0.0, -1, False
        self._last_word_ns = self._progress_ns = now_ns

    def ended(self, sentence: str, *, failed: bool) -> None:
        """Note that the process is gone; `sentence` says why and what comes next."""
        self.restarts += 1
        state: Literal["failed", "stopped"] = "failed" if failed else "stopped"
        self.info = WorkerInfo(state=state, restarts=self.restarts, sentence=sentence)
        self.progress = 0.0

    def heard(self, now_ns: int) -> None:
        """Note that the worker said something."""
        self._last_word_ns = now_ns

    def we_were_away(self, now_ns: int) -> None:
        """Note that it is us who heard nothing: the worker's patience begins anew."""
        self._last_word_ns = self._progress_ns = now_ns

    def loading(self, message: Loading) -> None:
        """Note the progress of the start."""
        self.progress = min(1.0, max(0.0, message.progress))
        self._replace(sentence=message.what)

    def became_ready(self, message: Ready, now_ns: int) -> None:
        """Note that the model is loaded."""
        self.progress, self._progress_ns = 1.0, now_ns
        self._replace(state="ready", model=message.model, device=message.device, sentence="Ready")

    def report(self, message: Report, now_ns: int) -> None:
        """Note memory and whether chunks get done."""
        if message.chunks != self._chunks or not message.busy:
            self._chunks, self._progress_ns = message.chunks, now_ns
        self._busy = message.busy
        self._replace(memory_bytes=message.memory_bytes, waits=message.waits, ranks=message.ranks)

    def stuck(self, now_ns: int) -> str:
        """Return a sentence when the worker hangs, else nothing."""
        if self.info.state not in ("loading", "ready"):
            return ""
        if now_ns - self._last_word_ns > MUTE_NS:
            return f"The painter said nothing for {MUTE_NS / NS_PER_S:.0f} s"
        if self.ready and self._busy and now_ns - self._progress_ns > HANG_NS:
            return f"The painter hung: no picture for {HANG_NS / NS_PER_S:.0f} s"
        return ""

    def _replace(self, **changes: object) -> None:
        fields = {name: getattr(self.info, name) for name in WorkerInfo.__struct_fields__}
        self.info = WorkerInfo(**(fields | changes))
