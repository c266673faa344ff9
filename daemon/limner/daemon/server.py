"""The loop of the daemon: two sockets, the worker's pulse and the clock. The hub decides."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time

import zmq

from limner.daemon import protocol as p
from limner.daemon import worker_protocol as w
from limner.daemon.config import DaemonConfig
from limner.daemon.hub import Hub
from limner.daemon.obs_control import ObsControl
from limner.daemon.paths import DAEMON_SOCKET, RANKS_SOCKET, WORKER_SOCKET, segment_prefix
from limner.daemon.segment import remove_stale
from limner.daemon.sizes import traits_of
from limner.daemon.sockets import Sockets, drain
from limner.daemon.style_file import built_in, own_file
from limner.daemon.style_watch import StyleWatch
from limner.daemon.supervisor import Death, Supervisor
from limner.daemon.wire import encode

log = logging.getLogger("limner.daemon")
TICK_S = 0.5


class Daemon:
    """The loop. `run` returns when a signal or `stop` says so."""

    def __init__(self, config: DaemonConfig) -> None:
        self.config = config
        self._styles = StyleWatch(built_in(config.engine), own_file())
        # Before the sockets: whoever sees them may send a signal.
        self._wake_read, self._wake_write = socket.socketpair()
        self._parent = _watch_parent(config.parent_pid) if config.parent_pid else -1
        self._stopping = config.parent_pid > 0 and self._parent < 0
        self._catch_signals()
        self._supervisor = Supervisor(config)
        self._obs_control = ObsControl(config)
        self._sockets = Sockets(config.runtime_dir, lambda: self._supervisor.identity)
        self._hub = Hub(
            outbox=self._sockets,
            prefix=segment_prefix(config.runtime_dir),
            engine=config.engine,
            traits=traits_of(config.engine),
            styles=self._styles.styles,
            version=_version,
        )
        self._take_styles()
        self._worker_pidfd = -1
        self._poller = zmq.Poller()
        for source in (self._sockets.clients, self._sockets.worker, self._wake_read):
            self._poller.register(source, zmq.POLLIN)
        if self._parent >= 0:
            self._poller.register(self._parent, zmq.POLLIN)

    def stop(self, *_: object) -> None:
        """End the loop soon; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Serve until stopped, then leave nothing behind."""
        try:
            self._loop()
        finally:
            self._leave()

    def _catch_signals(self) -> None:
        # Whoever started us (a thread of OBS) may have blocked signals, or ignored the end of children.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._wake_write.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.stop)

    def _loop(self) -> None:
        next_tick_s = time.monotonic()
        while not self._stopping:
            now_s = time.monotonic()
            if now_s >= next_tick_s:
                next_tick_s = now_s + TICK_S
                self._hub.tick()
                if self._styles.poll():
                    self._take_styles()
                self._watch_obs_control()
            self._watch_worker()
            self._wait(next_tick_s)
            drain(self._sockets.clients, self._client_said)
            drain(self._sockets.worker, self._worker_said)

    def _wait(self, until_s: float) -> None:
        self._poll_worker(self._supervisor.pidfd)
        if not self._supervisor.running:
            until_s = min(until_s, time.monotonic() + self._supervisor.wait_s)
        ready = dict(self._poller.poll(max(0, int((until_s - time.monotonic()) * 1000) + 1)))
        if self._parent in ready:
            log.info("who started us is gone")
            self.stop()

    def _poll_worker(self, pidfd: int) -> None:
        """Wake up when the worker of now ends; -1: there is none."""
        if pidfd == self._worker_pidfd:
            return
        if self._worker_pidfd >= 0:
            self._poller.unregister(self._worker_pidfd)
        if pidfd >= 0:
            self._poller.register(pidfd, zmq.POLLIN)
        self._worker_pidfd = pidfd

    def _watch_worker(self) -> None:
        for event in (self._supervisor.reap(), self._supervisor.start_if_due()):
            if isinstance(event, Death):
                self._hub.painting.worker_ended(event.sentence, failed=event.failed)
            elif event:
                self._hub.painting.worker_started(event)
                log.info("worker started, process %d", event)
        stuck = self._hub.floor.worker.stuck(time.monotonic_ns())
        if stuck:
            self._supervisor.kill(stuck)

    def _take_styles(self) -> None:
        watch = self._styles
        prompts = [rule.prompt for rule in watch.rules if rule.prompt]
        self._hub.styles_changed(watch.styles, watch.problem, prompts)

    def _watch_obs_control(self) -> None:
        sentence = self._obs_control.tick(wanted=bool(self._styles.rules))
        if sentence is None:
            self._hub.obs = None
        elif sentence:
            self._hub.obs = p.ObsInfo(connected=False, sentence=sentence)

    def _client_said(self, client: bytes, parts: list[bytes]) -> None:
        if len(parts) == 1:
            self._hub.client_said(client, parts[0])
            return
        self._hub.refuse(client, "garbage", f"not a Limner message: {len(parts)} parts, one is expected")

    def _worker_said(self, peer: bytes, parts: list[bytes]) -> None:
        if peer != self._supervisor.identity or len(parts) != 1:
            # A worker of a daemon that is gone, or one that we gave up.
            self._sockets.worker.send_multipart([peer, encode(w.Stop())], zmq.NOBLOCK)
            return
        was_ready = self._hub.floor.worker.ready
        self._hub.painting.worker_said(parts[0])
        if self._hub.painting.last_words:
            self._supervisor.explain(self._hub.painting.last_words)
        if self._hub.floor.worker.ready and not was_ready:
            self._supervisor.became_ready()

    def _leave(self) -> None:
        self._hub.close_all("the Limner daemon is stopping")
        self._sockets.to_worker(w.Stop())
        self._obs_control.stop()
        self._supervisor.stop()
        self._sockets.close()
        signal.set_wakeup_fd(-1)
        if self._parent >= 0:
            os.close(self._parent)
        self._wake_read.close()
        self._wake_write.close()
        folder = self.config.runtime_dir
        for name in (DAEMON_SOCKET, WORKER_SOCKET, RANKS_SOCKET):
            (folder / name).unlink(missing_ok=True)
        remove_stale(segment_prefix(folder))


def _watch_parent(pid: int) -> int:
    """Return what becomes readable when our parent `pid` ends; -1: it has ended already."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        if os.getppid() == pid:
            return pidfd
        os.close(pidfd)
    return -1


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415  (slow to import, needed only when somebody asks)

    try:
        return metadata.version("limner")
    except metadata.PackageNotFoundError:
        return "0+source"
