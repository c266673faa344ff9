"""The control of OBS: one loop that waits for OBS, looks at it when something happens, and tells the daemon.

Nothing here is done on OBS's behalf: it is only asked, on the websocket's own threads, and it never waits.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from limner.daemon.client import Client, RefusedError
from limner.daemon.protocol import MAX_NAME_CHARS, ObsInfo
from limner.daemon.style_watch import StyleWatch
from limner.obs_bridge.addresses import Address, AddressError
from limner.obs_bridge.lender import Lender, Todo
from limner.obs_bridge.mapping import Watcher
from limner.obs_bridge.state import Needs, ObsState
from limner.obs_bridge.websocket import ObsError, ObsSocket, RequestError

log = logging.getLogger("limner.obs")
TICK_S = 0.5
RETRY_S = 1.0
# An event after a calm is acted on at once. More of them are waited for this long, but OBS is looked at no
# later than this.
QUIET_S = 0.005
LONGEST_BURST_S = 0.05
# OBS starts, or is busy with itself.
NOT_READY_S = 0.2


class Controller:
    """`run` returns when `stop` is called or the descriptor `ended` is readable; raises ClientError."""

    def __init__(
        self,
        client: Client,
        styles: StyleWatch,
        addresses: Callable[[], list[Address]],
        state_file: Path,
    ) -> None:
        self._client, self._styles, self._addresses = client, styles, addresses
        self._lender = Lender(state_file)
        self._obs: ObsSocket | None = None
        self._waits_for = "OBS"
        self._next_try_s = 0.0
        self._acted_s = 0.0
        """When events were taken last."""
        self._watcher = Watcher()
        self._told: ObsInfo | None = None
        self._stopping = False

    def stop(self, *_: object) -> None:
        """End the loop soon; safe in a signal handler."""
        self._stopping = True

    def run(self, ended: int) -> None:
        """Serve until stopped."""
        try:
            while not self._stopping:
                if self._wait(ended):
                    return
                self._turn()
                if not self._styles.rules:
                    log.info("there are no rules any more")
                    return
        finally:
            self._hang_up()

    def _wait(self, ended: int) -> bool:
        """Wait for OBS, or the next tick; True: who started us is gone."""
        due_s = self._watcher.wait_s if self._obs else None
        sources: list[int | ObsSocket] = [ended, self._obs] if self._obs else [ended]
        ready, _, _ = select.select(sources, [], [], TICK_S if due_s is None else min(TICK_S, due_s))
        if self._obs in ready:
            self._gather_burst()
        return ended in ready

    def _gather_burst(self) -> None:
        """Take the events of a moment together: of many changes only the last counts."""
        begin_s = time.monotonic()
        quiet_s = 0.0 if begin_s - self._acted_s > LONGEST_BURST_S else QUIET_S
        try:
            while self._obs and time.monotonic() < begin_s + LONGEST_BURST_S:
                self._take_events(self._obs)
                if self._obs is None or not select.select([self._obs], [], [], quiet_s)[0]:
                    break
        except ObsError as error:
            self._lost(error)
        self._acted_s = time.monotonic()

    def _take_events(self, obs: ObsSocket) -> None:
        self._watcher.heard(obs.events())
        if self._watcher.leaving:
            self._lost(ObsError("OBS has ended"))

    def _turn(self) -> None:
        if self._styles.poll():
            self._watcher.look_again()
        if self._obs is None and time.monotonic() >= self._next_try_s:
            self._connect()
        if self._obs is not None and self._watcher.wait_s == 0:
            self._look(self._obs)
        self._apply()
        self._tell()
        # What is in the picture since when is told to whoever said it, and nobody here asks.
        while self._client.receive_message(0) is not None:
            pass

    # ---- OBS

    def _connect(self) -> None:
        self._next_try_s = time.monotonic() + RETRY_S
        faults = []
        try:
            for address in self._addresses():
                try:
                    self._obs = ObsSocket(address)
                except ObsError as error:
                    faults.append(str(error))
                    continue
                self._watcher = Watcher()
                log.info("connected to OBS %s at port %d", self._obs.version, address.port)
                return
        except AddressError as error:
            faults.append(str(error))
        if self._waits_for != "; ".join(faults):
            self._waits_for = "; ".join(faults)
            log.info("waiting for OBS: %s", self._waits_for)

    def _look(self, obs: ObsSocket) -> None:
        try:
            self._watcher.look(obs, Needs.of(self._styles.rules))
            # What came while we asked may be newer than what we were told.
            self._take_events(obs)
        except RequestError as error:
            if not error.not_ready:
                log.warning("%s", error)
            self._watcher.look_again(NOT_READY_S)
        except ObsError as error:
            self._lost(error)

    def _lost(self, error: ObsError) -> None:
        log.info("%s", error)
        self._waits_for = str(error)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._obs is not None:
            self._obs.close()
        self._obs = None
        self._next_try_s = time.monotonic() + RETRY_S

    # ---- the daemon

    def _apply(self) -> None:
        state = self._watcher.state if self._obs else None
        if not self._styles.rules:
            # Whatever OBS shows: all goes back.
            state = ObsState()
        if state is None:
            return
        sessions = self._client.query().sessions
        for todo in self._lender.todo(self._styles.rules, state, sessions):
            self._send(todo)

    def _send(self, todo: Todo) -> None:
        try:
            accepted = self._client.set(todo.step.change, todo.session)
        except RefusedError as error:
            self._lender.refused(todo, str(error))
        else:
            self._lender.done(todo, accepted.settings)

    def _tell(self) -> None:
        """Tell the daemon how OBS is, when that has changed."""
        info = self._info()
        if info != self._told:
            self._client.tell_of_obs(info)
            self._told = info

    def _info(self) -> ObsInfo:
        state = self._watcher.state
        if self._obs is None or state is None:
            return ObsInfo(connected=False, sentence=f"waiting for OBS: {self._waits_for}")
        version = self._obs.version[:MAX_NAME_CHARS]
        studio = f", preview {state.preview!r}" if state.preview else ""
        return msgspec.convert(
            {
                "connected": True,
                "sentence": f"connected to {version}, scene {state.scene!r}{studio}",
                "version": version,
                "reasons": self._lender.reasons,
                **msgspec.to_builtins(state.report()),
            },
            ObsInfo,
        )
