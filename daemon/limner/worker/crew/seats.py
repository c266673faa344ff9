"""The ranks' processes on the worker's own machine: started, started again, and ended with the worker."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from limner.daemon.supervisor import Backoff, child_environment, how_it_ended
from limner.models.plan_seen import VISIBLE

log = logging.getLogger("limner.worker")


@dataclass
class Seat:
    """A place for one process, on one device."""

    number: int
    device: str
    threads: int
    backoff: Backoff = field(default_factory=Backoff)
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    next_start_s: float = 0.0
    hello_s: float | None = None
    """When its process said hello."""


class Seats:
    """All of them. For one thread, the same that lives as long as they do: they die with it."""

    def __init__(
        self, endpoint: str, devices: Sequence[str], threads: int, visible_cards: str | None = None
    ) -> None:
        """`devices`: one a seat; `threads`: CPU threads of each; `visible_cards`: as the user set them."""
        self._endpoint = endpoint
        self._cards = {} if visible_cards is None else {VISIBLE: visible_cards}
        self.all = [Seat(number, device, threads) for number, device in enumerate(devices, 1)]

    def start_due(self, now_s: float) -> list[Seat]:
        """Start those that do not run and may; return them."""
        due = [seat for seat in self.all if seat.process is None and now_s >= seat.next_start_s]
        for seat in due:
            try:
                self._start(seat)
            except OSError as error:
                log.error("rank %d cannot be started: %s", seat.number, error.strerror)
                seat.next_start_s = now_s + seat.backoff.died(0.0)
        return [seat for seat in due if seat.process]

    def _start(self, seat: Seat) -> None:
        command = [
            sys.executable,
            # No modules from whatever folder we were started in.
            "-P",
            "-m",
            "limner.worker.rank",
            f"--endpoint={self._endpoint}",
            f"--seat={seat.number}",
            f"--device={seat.device}",
            f"--threads={seat.threads}",
            f"--parent={os.getpid()}",
        ]
        seat.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env=self._environment(seat),
            start_new_session=True,
        )
        seat.pidfd, seat.hello_s = os.pidfd_open(seat.process.pid), None
        log.info("rank process %d started on %s, process %d", seat.number, seat.device, seat.process.pid)

    def _environment(self, seat: Seat) -> dict[str, str]:
        threads = {name: str(seat.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        environment = child_environment() | threads
        # The worker shows itself only its own card; which ones there were, it may have been told.
        environment.pop(VISIBLE, None)
        return environment | self._cards

    def reap(self, now_s: float) -> list[tuple[int, str]]:
        """Return the process ids of those that ended, and how."""
        ended = []
        for seat in self.all:
            if seat.process is None or (code := seat.process.poll()) is None:
                continue
            ended.append((seat.process.pid, how_it_ended(code)))
            lived_s = 0.0 if seat.hello_s is None else now_s - seat.hello_s
            seat.next_start_s = now_s + seat.backoff.died(lived_s)
            self._drop(seat)
        return ended

    def said_hello(self, number: int, pid: int, now_s: float) -> bool:
        """Note that a seat's process is there; False: it is not the one that we started."""
        for seat in self.all:
            if seat.number == number and seat.process is not None and seat.process.pid == pid:
                seat.hello_s = now_s
                return True
        return False

    def kill(self, pid: int) -> None:
        """End a process of ours that hangs or is stopped; `reap` will say so."""
        for seat in self.all:
            if seat.process is not None and seat.process.pid == pid:
                seat.process.kill()

    def hopeless(self) -> list[Seat]:
        """Seats whose processes end again and again before they have said hello."""
        return [seat for seat in self.all if seat.backoff.short_lives >= 2 and seat.hello_s is None]

    def stop(self, patience_s: float) -> None:
        """End all processes: they were told to; who is not gone in time is killed."""
        end_s = time.monotonic() + patience_s
        for seat in self.all:
            if seat.process is None:
                continue
            with contextlib.suppress(subprocess.TimeoutExpired):
                seat.process.wait(max(0.0, end_s - time.monotonic()))
            seat.process.kill()
            seat.process.wait()
            self._drop(seat)

    def _drop(self, seat: Seat) -> None:
        os.close(seat.pidfd)
        seat.process, seat.pidfd = None, -1
