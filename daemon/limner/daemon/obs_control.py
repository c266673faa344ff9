"""The process that lets OBS choose the look: there as long as there are rules, started again when it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time

from limner.daemon.config import DaemonConfig
from limner.daemon.supervisor import Backoff, child_environment, how_it_ended

log = logging.getLogger("limner.daemon")
OBS_LOG = "obs.log"
_MODULE = "limner.obs_bridge"
_STOP_S = 1.0
# Without rules it ends by itself, once all is back to what it was before them.
_GIVE_BACK_S = 5.0


class ObsControl:
    """Looked after at each tick of the daemon; nothing here waits, but `stop`."""

    def __init__(self, config: DaemonConfig) -> None:
        self._config = config
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = self._next_start_s = 0.0
        self._wanted_s = 0.0
        self._is_over = True

    def tick(self, *, wanted: bool) -> str | None:
        """Start, end or bury the process; return what there is to tell people, if that has changed.

        None: there is nothing to tell any more.
        """
        # A daemon that was started for one command serves no OBS.
        wanted, now_s = wanted and not self._config.parent_pid, time.monotonic()
        if wanted:
            self._wanted_s = now_s
        if self._process is not None:
            if self._process.poll() is not None:
                return self._ended(self._process, wanted=wanted)
            if now_s - self._wanted_s > _GIVE_BACK_S:
                self._process.terminate()
        elif wanted and now_s >= self._next_start_s:
            return self._start()
        elif not wanted and not self._is_over:
            self._is_over = True
            return None
        return ""

    def _start(self) -> str:
        command = [
            sys.executable,
            "-P",
            "-m",
            _MODULE,
            f"--runtime-dir={self._config.runtime_dir}",
            f"--engine={self._config.engine}",
            f"--parent={os.getpid()}",
        ]
        self._started_s, self._is_over = time.monotonic(), False
        try:
            with (self._config.runtime_dir / OBS_LOG).open("ab") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=child_environment(),
                    start_new_session=True,
                )
        except OSError as error:
            self._next_start_s = self._started_s + self._backoff.died(0.0)
            return f"the control of OBS cannot be started: {error.strerror}"
        log.info("there are rules: the control of OBS is process %d", self._process.pid)
        return "starting"

    def _ended(self, process: subprocess.Popen[bytes], *, wanted: bool) -> str:
        self._process = None
        if not wanted:
            self._backoff, self._next_start_s = Backoff(), 0.0
            log.info("there are no rules any more: the control of OBS has ended")
            return ""
        now_s = time.monotonic()
        wait_s = self._backoff.died(now_s - self._started_s)
        self._next_start_s = now_s + wait_s
        sentence = (
            f"the control of OBS {how_it_ended(process.returncode)}; starting it again"
            + (f" in {wait_s:.0f} s" if wait_s else "")
            + (f" (see {self._config.runtime_dir / OBS_LOG})" if self._backoff.hopeless else "")
        )
        log.error("%s", sentence)
        return sentence

    def stop(self) -> None:
        """End the process for good."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process = None
