"""Starts the worker process, notices its death at once, starts it again."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import site
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

import limner
from limner.daemon.config import DaemonConfig
from limner.daemon.paths import WORKER_SOCKET, endpoint
from limner.daemon.worker_protocol import EXIT_NO_ENGINE, EXIT_NO_MEMORY

log = logging.getLogger("limner.daemon")
WORKER_LOG = "worker.log"
# A worker that was ready for this long was well: the next one starts at once.
HEALTHY_S = 5.0
# And what was too much for the GPU's memory so long ago may fit now.
FORGOTTEN_S = 1800.0
MAX_BACKOFF_S = 10.0
# So many deaths in a row, each within HEALTHY_S, are more than bad luck.
FAILED_AFTER = 3
KILL_AFTER_S = 2.0
# A worker that is still loading does not hear `stop`.
STOP_PATIENCE_S = 0.5


class Backoff:
    """How long to wait before the next start: 0 s after a healthy life, else 0, 1, 2, 4 … 10 s."""

    def __init__(self) -> None:
        self.short_lives = 0

    def died(self, ready_s: float) -> float:
        """Note a death `ready_s` seconds after the worker was ready (0: never) and return the wait, s."""
        if ready_s >= HEALTHY_S:
            self.short_lives = 0
            return 0.0
        self.short_lives += 1
        # The first one may be an accident (somebody's kill): no wait.
        return 0.0 if self.short_lives == 1 else min(MAX_BACKOFF_S, 2.0 ** (self.short_lives - 2))

    @property
    def hopeless(self) -> bool:
        """The worker dies again and again."""
        return self.short_lives >= FAILED_AFTER


@dataclass(frozen=True, kw_only=True)
class Death:
    """How a worker ended and when the next is due."""

    sentence: str
    wait_s: float
    failed: bool


class Supervisor:
    """One worker process at a time. `identity` is the only peer on the worker link that counts."""

    def __init__(self, config: DaemonConfig) -> None:
        self._config = config
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._ready_s: float | None = None
        self._next_start_s = 0.0
        self._reason = ""
        self._explained = False
        self._step_down = 0
        """How many plans for the GPU's memory were too much."""
        self.identity = b""
        self.pidfd = -1
        """Readable when the process has ended; -1 when there is none."""

    @property
    def running(self) -> bool:
        """A process is there (it may have ended without `poll` having seen it)."""
        return self._process is not None

    @property
    def wait_s(self) -> float:
        """Seconds until a start is due; 0 while a process runs."""
        return 0.0 if self._process else max(0.0, self._next_start_s - time.monotonic())

    def start_if_due(self) -> int | Death | None:
        """Start a worker when none runs and the wait is over.

        Returns its process id, or how the start failed (no memory, too many processes).
        """
        if self._process or self.wait_s > 0:
            return None
        try:
            return self._start()
        except OSError as error:
            self._reason, self._explained = f"The painter cannot be started: {error.strerror}", True
            return self._death(ready_s=0.0)

    def _start(self) -> int:
        self.identity = b"worker-" + secrets.token_hex(8).encode()
        with (self._config.runtime_dir / WORKER_LOG).open("ab") as log_file:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                env=self._environment(),
                # Ctrl-C in the daemon's terminal is for the daemon.
                start_new_session=True,
            )
        self._started_s = time.monotonic()
        self._ready_s = None
        self._reason, self._explained = "", False
        self.pidfd = os.pidfd_open(self._process.pid)
        return self._process.pid

    def _command(self) -> list[str]:
        config = self._config
        return [
            sys.executable,
            # No modules from whatever folder we were started in.
            "-P",
            "-m",
            "limner.worker",
            f"--endpoint={endpoint(WORKER_SOCKET, config.runtime_dir)}",
            f"--identity={self.identity.decode()}",
            f"--engine={config.engine}",
            f"--device={config.device}",
            f"--threads={config.worker_threads}",
            f"--wishes={msgspec.json.encode(config.wishes).decode()}",
            f"--step-down={self._step_down}",
            f"--ranks={msgspec.json.encode(config.ranks).decode()}",
            f"--parent={os.getpid()}",
        ]

    def _environment(self) -> dict[str, str]:
        threads = str(self._config.worker_threads)
        return child_environment() | {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            # A thread that waits for another sleeps instead of spinning: spinning takes the cores from OBS,
            # and from the very thread that is waited for (a chunk took 40 times as long on a busy machine).
            "OMP_WAIT_POLICY": "PASSIVE",
            # A few microseconds of it, though, save the waking, which costs as much as half the products.
            "GOMP_SPINCOUNT": "10000",
        }

    def reap(self) -> Death | None:
        """Return how the worker ended, once, or None while it runs."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        now_s = time.monotonic()
        self._reason = self._reason or f"The painter {how_it_ended(code)}"
        ready_s = 0.0 if self._ready_s is None else now_s - self._ready_s
        self._step_down = next_step_down(self._step_down, code, ready_s)
        log.error("worker %d ended after %.1f s", self._process.pid, now_s - self._started_s)
        self._drop_process()
        return self._death(ready_s=ready_s)

    def _death(self, *, ready_s: float) -> Death:
        """Say why, and set the time of the next start."""
        wait_s = self._backoff.died(ready_s)
        self._next_start_s = time.monotonic() + wait_s
        why = self._reason
        log.error("%s; next start in %.0f s", why, wait_s)
        again = f"starting it again in {wait_s:.0f} s" if wait_s else "starting it again"
        more = f" (see {self._config.runtime_dir / WORKER_LOG})" if self._backoff.hopeless else ""
        failed = self._backoff.hopeless or self._explained
        return Death(sentence=f"{why}; {again}{more}", wait_s=wait_s, failed=failed)

    def became_ready(self) -> None:
        """Note that the worker is well from now on."""
        self._ready_s = time.monotonic()

    def explain(self, reason: str) -> None:
        """Remember the worker's own words for why it is about to end."""
        self._reason, self._explained = reason, True

    def kill(self, reason: str) -> None:
        """End a worker that hangs; `reap` will say `reason`."""
        if self._process:
            self._reason = reason
            self._process.kill()

    def stop(self) -> None:
        """End the worker for good: it was told to stop; then SIGTERM, and SIGKILL after 2 s in all."""
        if self._process is None:
            return
        for sent, patience_s in ((None, STOP_PATIENCE_S), (signal.SIGTERM, KILL_AFTER_S - STOP_PATIENCE_S)):
            if sent is not None:
                self._process.send_signal(sent)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
                break
        else:
            self._process.kill()
            self._process.wait()
        self._drop_process()

    def _drop_process(self) -> None:
        os.close(self.pidfd)
        self.pidfd = -1
        self._process = None


def child_environment() -> dict[str, str]:
    """Return the environment of a process of ours.

    It finds `limner` where we found it, however that was; what is installed it finds anyway.
    """
    roots = [str(Path(part).parent) for part in limner.__path__]
    roots = [root for root in roots if root not in (*site.getsitepackages(), site.getusersitepackages())]
    given = os.environ.get("PYTHONPATH")
    python_path = os.pathsep.join([*roots, given] if given else roots)
    return os.environ | {"PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1"}


def next_step_down(step_down: int, code: int, ready_s: float) -> int:
    """Return how many plans for the GPU's memory the next worker passes over.

    One more wherever memory ran out: a worker ends of it only when nothing could give way any more, so the
    same plan would end the same way, in a moment or in an hour. (The plan is for what is free then; where
    somebody else took the memory and gave it back, it is one step lower than need be: the lesser evil.) After
    `FORGOTTEN_S` without trouble, or where no plan was left, it begins with the best one again.
    """
    if code == EXIT_NO_ENGINE:
        return 0
    before = 0 if ready_s >= FORGOTTEN_S else step_down
    return before + (code == EXIT_NO_MEMORY)


def how_it_ended(code: int) -> str:
    """Return an exit code in words."""
    if code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name
    hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"was killed ({name}{hint})"
