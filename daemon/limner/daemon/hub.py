"""What the daemon does with each message: pure decisions. Sockets are in server.py, a test brings its own.

Nothing here waits: a client that does not answer, a worker that is gone or a slot that is missing changes
what is sent, never when.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from limner.daemon import protocol as p
from limner.daemon import worker_protocol as w
from limner.daemon.metrics import NS_PER_S
from limner.daemon.registry import ALL, Registry, UnknownSessionError
from limner.daemon.segment import SegmentError
from limner.daemon.session import SegmentPair, Session
from limner.daemon.settings import merge, resolve
from limner.daemon.sizes import EngineTraits, working_size
from limner.daemon.slots import Owner, SlotError
from limner.daemon.styles import Styles, UnknownStyleError
from limner.daemon.wire import Message, WireError
from limner.daemon.worker_view import WorkerView

log = logging.getLogger("limner.daemon")
# A session that failed is tried again after this long.
RETRY_NS = 5 * NS_PER_S
SILENCE_NS = int(p.SILENCE_S * NS_PER_S)


class Outbox(Protocol):
    """Where messages go. Sending never waits."""

    def to_client(self, client: bytes, message: Message) -> None:
        """Send to a client."""

    def to_worker(self, message: Message) -> None:
        """Send to the worker of now."""


@dataclass(frozen=True, kw_only=True)
class _Pending:
    """A change on its way to the picture, and who wants to know."""

    session: str
    rev: int
    client: bytes
    client_rev: int


class Hub:
    """Sessions, settings and the worker. `now_ns` is the monotonic clock that presentation times use."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        prefix: str,
        engine: str,
        traits: EngineTraits,
        styles: Styles,
        now_ns: Callable[[], int] = time.monotonic_ns,
        version: Callable[[], str] = lambda: "",
    ) -> None:
        self.out = outbox
        self.sessions = Registry()
        self.worker = WorkerView()
        self.last_words = ""
        """Why the worker said that it is about to end."""
        self._prefix, self._engine, self._traits, self._styles = prefix, engine, traits, styles
        self._now_ns, self._version = now_ns, version
        self._started_ns = now_ns()
        # A message for segments of an earlier daemon must not fit ours.
        self._generation = int(time.time()) & 0x7FFF_FFFF
        self._rev = 0
        self._pending: list[_Pending] = []
        self._observers: set[bytes] = set()
        self._heard_ns: dict[bytes, int] = {}
        # What new sessions start with: the first style, then what `set` for all sessions said.
        names = styles.names
        self._defaults_change = p.Change(style=names[0]) if names else p.Change()
        self._client_handlers: dict[type[Message], Callable[[bytes, Any], None]] = {}
        for kind, handler in (
            (p.Hello, self._hello),
            (p.Frame, self._frame),
            (p.Free, self._free),
            (p.Set, self._set),
            (p.Query, self._query),
            (p.Ping, self._ping),
            (p.Bye, self._bye),
        ):
            self._client_handlers[kind] = handler

    # ---- clients

    def client_said(self, client: bytes, data: bytes) -> None:
        """Take one message of a client. A bad one is answered with one error; the session goes on."""
        try:
            message = p.from_client.decode(data)
        except WireError as error:
            self._refuse(client, error.code, str(error))
            return
        if client in self._heard_ns:
            self._heard_ns[client] = self._now_ns()
        self._client_handlers[type(message)](client, message)

    def _refuse(self, client: bytes, code: str, text: str, about: str = "") -> None:
        log.warning("refused %s: %s", about or "a message", text)
        self.out.to_client(client, p.Error(code=code, message=text, about=about))

    def _hello(self, client: bytes, hello: p.Hello) -> None:
        self._forget(client)
        self._heard_ns[client] = self._now_ns()
        settings, notes = self._first_settings(client, hello)
        if hello.role == "observer":
            self._observers.add(client)
            self.out.to_client(client, p.Accepted(rev=0, session="", settings=settings, notes=notes))
            return
        session = self._open_session(client, hello, settings)
        if session is None:
            del self._heard_ns[client]
            return
        self._welcome(session, notes)
        self._tell_worker(session)

    def _first_settings(self, client: bytes, hello: p.Hello) -> tuple[p.Settings, list[str]]:
        try:
            return resolve(p.Settings(), merge(self._defaults_change, hello.settings), self._styles)
        except UnknownStyleError as error:
            # A style that a filter saved long ago must not keep its picture away.
            self._refuse(client, "unknown_style", str(error), "hello")
            return resolve(p.Settings(), self._defaults_change, self._styles)

    def _open_session(self, client: bytes, hello: p.Hello, settings: p.Settings) -> Session | None:
        width, height = working_size(
            hello.source_width, hello.source_height, self._traits, exact_size=hello.exact_size
        )
        self._generation += 1
        try:
            segments = SegmentPair.create(
                self._prefix, generation=self._generation, width=width, height=height
            )
        except (SegmentError, OSError) as error:
            self._refuse(client, "no_memory", str(error), "hello")
            return None
        self._rev += 1
        session = Session(
            name=self.sessions.free_name(hello.name or hello.role),
            client=client,
            hello=hello,
            segments=segments,
            settings=settings,
            rev=self._rev,
        )
        self.sessions.add(session)
        log.info("session %r opened by %s, painted at %d×%d", session.name, hello.client, width, height)
        return session

    def _welcome(self, session: Session, notes: list[str]) -> None:
        s = session.segments
        welcome = p.Welcome(
            session=session.name,
            generation=s.generation,
            model=self._engine,
            width=s.width,
            height=s.height,
            frames_per_chunk=self._traits.frames_per_chunk,
            input=s.input,
            output=s.output,
            styles=self._styles.names,
            settings=session.settings,
        )
        self.out.to_client(session.client, welcome)
        accepted = p.Accepted(rev=0, session=session.name, settings=session.settings, notes=notes)
        self.out.to_client(session.client, accepted)
        self.out.to_client(session.client, self._status(session))

    def _frame(self, client: bytes, frame: p.Frame) -> None:
        session = self._session_for(client, frame.generation, "frame")
        if session is None:
            return
        try:
            session.input.hand_over(frame.slot, giver=Owner.CLIENT)
        except SlotError as error:
            self._refuse(client, "slot", str(error), "frame")
            return
        now_ns = self._now_ns()
        session.frame_came(now_ns)
        if session.painting:
            self.out.to_worker(
                w.Give(
                    session=session.name,
                    generation=frame.generation,
                    slot=frame.slot,
                    sequence=frame.sequence,
                    pts_ns=frame.pts_ns,
                )
            )
            return
        session.input.hand_over(frame.slot, giver=Owner.WORKER)
        if not session.settings.bypass:
            session.frame_dropped(now_ns)
        self.out.to_client(client, p.Free(generation=frame.generation, slot=frame.slot))

    def _free(self, client: bytes, free: p.Free) -> None:
        session = self._session_for(client, free.generation, "free")
        if session is None:
            return
        try:
            session.output.hand_over(free.slot, giver=Owner.CLIENT)
        except SlotError as error:
            self._refuse(client, "slot", str(error), "free")
            return
        if session.asked:
            self._return_output(session, free.slot)

    def _session_for(self, client: bytes, generation: int, about: str) -> Session | None:
        """Return the client's session when it may speak of `generation`; answers what is wrong otherwise."""
        session = self.sessions.of(client)
        if session is None:
            self._refuse(client, "no_session", "no session is open here; say hello first", about)
            return None
        if generation > session.segments.generation:
            text = f"generation {generation} is not there yet, it is {session.segments.generation}"
            self._refuse(client, "generation", text, about)
        return session if generation == session.segments.generation else None

    def _query(self, client: bytes, _: p.Query) -> None:
        self.out.to_client(client, self.overview())

    def _ping(self, client: bytes, _: p.Ping) -> None:
        if client not in self._heard_ns:
            self._refuse(client, "no_session", "no session is open here; say hello first", "ping")

    def _bye(self, client: bytes, _: p.Bye) -> None:
        self._forget(client)

    def _forget(self, client: bytes) -> None:
        self._observers.discard(client)
        self._heard_ns.pop(client, None)
        session = self.sessions.of(client)
        if session is not None:
            self._close(session)

    def _close(self, session: Session) -> None:
        self.sessions.remove(session)
        session.segments.unlink()
        if session.asked:
            self.out.to_worker(w.Close(session=session.name))
        log.info("session %r closed", session.name)

    # ---- settings

    def _set(self, client: bytes, message: p.Set) -> None:
        try:
            sessions, where = self._targets(client, message.session)
            changed = [(s, *resolve(s.settings, message.change, self._styles)) for s in sessions]
            accepted_settings, notes = self._accept_for(message, changed)
        except UnknownStyleError as error:
            self._refuse(client, "unknown_style", str(error), "set")
            return
        except UnknownSessionError as error:
            self._refuse(client, "unknown_session", str(error), "set")
            return
        self.out.to_client(
            client, p.Accepted(rev=message.rev, session=where, settings=accepted_settings, notes=notes)
        )
        for session, settings, _ in changed:
            self._change(session, settings, client, message.rev)

    def _targets(self, client: bytes, name: str) -> tuple[list[Session], str]:
        if not name:
            own = self.sessions.of(client)
            if own is None:
                raise UnknownSessionError('this client has no session; name one, or "*" for all')
            return [own], own.name
        return self.sessions.find(name), name

    def _accept_for(
        self, message: p.Set, changed: list[tuple[Session, p.Settings, list[str]]]
    ) -> tuple[p.Settings, list[str]]:
        """Return what `accepted` says; a change for all is also what new sessions start with."""
        if message.session != ALL:
            return changed[0][1], changed[0][2]
        defaults = merge(self._defaults_change, message.change)
        settings, notes = resolve(p.Settings(), defaults, self._styles)
        self._defaults_change = defaults
        if not changed:
            notes.append("no session is open; new ones start with this")
        return settings, notes

    def _change(self, session: Session, settings: p.Settings, client: bytes, client_rev: int) -> None:
        bypassed = session.settings.bypass
        self._rev += 1
        session.settings, session.rev = settings, self._rev
        pending = _Pending(session=session.name, rev=self._rev, client=client, client_rev=client_rev)
        if settings.bypass:
            # The source is shown at once: there is no chunk to wait for.
            self.out.to_client(
                client, p.Applied(rev=client_rev, session=session.name, chunk=0, pts_ns=self._now_ns())
            )
        else:
            self._pending.append(pending)
        if session.failure:
            self._reopen(session)
        elif session.asked:
            self.out.to_worker(w.Update(session=session.name, rev=session.rev, settings=settings))
        if bypassed != settings.bypass:
            self.out.to_client(session.client, self._status(session))

    # ---- the worker

    def worker_started(self, pid: int) -> None:
        """Note a new worker process."""
        self.worker.started(pid, self._now_ns())
        self.last_words = ""

    def worker_ended(self, sentence: str, *, failed: bool) -> None:
        """Take back what the worker had; its sessions wait for the next one, on the same segments."""
        self.worker.ended(sentence, failed=failed)
        now_ns = self._now_ns()
        for session in self.sessions:
            for slot in session.worker_gone():
                session.frame_dropped(now_ns)
                free = p.Free(generation=session.segments.generation, slot=slot)
                self.out.to_client(session.client, free)
            self.out.to_client(session.client, self._status(session))

    def worker_said(self, data: bytes) -> None:
        """Take one message of the worker of now."""
        try:
            message = w.from_worker.decode(data)
        except WireError as error:
            log.error("the worker sent something wrong: %s", error)
            return
        now_ns = self._now_ns()
        self.worker.heard(now_ns)
        match message:
            case w.Give():
                self._painted(message, now_ns)
            case w.Return():
                self._input_back(message, now_ns)
            case w.Report():
                self._report(message, now_ns)
            case w.Done():
                self._done(message)
            case w.Opened():
                self._opened(message.session)
            case w.Loading():
                self.worker.loading(message)
            case w.Ready():
                self._ready(message, now_ns)
            case w.Failed():
                self._failed(message, now_ns)

    def _ready(self, message: w.Ready, now_ns: int) -> None:
        self.worker.became_ready(message, now_ns)
        log.info("the worker is ready: %s on %s", message.model, message.device)
        for session in self.sessions:
            self._tell_worker(session)

    def _tell_worker(self, session: Session) -> None:
        if not self.worker.ready:
            return
        session.asked = True
        self.out.to_worker(session.open_message())
        # A worker begins with no output slot and gets each by a message: some may still be the client's.
        for slot in session.output.owned_by(Owner.WORKER):
            self._return_output(session, slot)

    def _return_output(self, session: Session, slot: int) -> None:
        generation = session.segments.generation
        self.out.to_worker(w.Return(session=session.name, generation=generation, slot=slot))

    def _reopen(self, session: Session) -> None:
        """Try a session again that failed."""
        if session.asked:
            self.out.to_worker(w.Close(session=session.name))
        for slot in session.worker_gone():
            generation = session.segments.generation
            self.out.to_client(session.client, p.Free(generation=generation, slot=slot))
        self._tell_worker(session)

    def _opened(self, name: str) -> None:
        session = self.sessions.named(name)
        if session is not None and session.asked:
            session.opened = True

    def _of_now(self, message: w.Give | w.Return) -> Session | None:
        session = self.sessions.named(message.session)
        if session is None or session.segments.generation != message.generation:
            return None
        return session

    def _painted(self, give: w.Give, now_ns: int) -> None:
        session = self._of_now(give)
        if session is None:
            return
        try:
            session.output.hand_over(give.slot, giver=Owner.WORKER)
        except SlotError as error:
            log.error("the worker gave an output slot of %r: %s", session.name, error)
            return
        session.frame_painted(now_ns, give.pts_ns)
        frame = p.Frame(
            generation=give.generation, slot=give.slot, sequence=give.sequence, pts_ns=give.pts_ns
        )
        self.out.to_client(session.client, frame)

    def _input_back(self, message: w.Return, now_ns: int) -> None:
        session = self._of_now(message)
        if session is None:
            return
        try:
            session.input.hand_over(message.slot, giver=Owner.WORKER)
        except SlotError as error:
            log.error("the worker returned an input slot of %r: %s", session.name, error)
            return
        if message.dropped:
            session.frame_dropped(now_ns)
        self.out.to_client(session.client, p.Free(generation=message.generation, slot=message.slot))

    def _done(self, done: w.Done) -> None:
        """Tell everyone whose change is in the picture; a change that a newer one replaced is, too."""
        due = [x for x in self._pending if x.session == done.session and x.rev <= done.rev]
        self._pending = [x for x in self._pending if x not in due]
        for x in due:
            applied = p.Applied(rev=x.client_rev, session=done.session, chunk=done.chunk, pts_ns=done.pts_ns)
            self.out.to_client(x.client, applied)

    def _report(self, report: w.Report, now_ns: int) -> None:
        self.worker.report(report, now_ns)
        for session in self.sessions:
            session.stages_ms = report.stages_ms.get(session.name, {})
            session.note = report.notes.get(session.name, "")

    def _failed(self, failed: w.Failed, now_ns: int) -> None:
        log.error("the worker failed (%s): %s", failed.session or "all", failed.message)
        if not failed.session:
            self.last_words = failed.message
            return
        session = self.sessions.named(failed.session)
        if session is None:
            return
        session.failure = failed.message
        session.failed_ns = now_ns
        for slot in session.input.take_back(Owner.WORKER):
            generation = session.segments.generation
            self.out.to_client(session.client, p.Free(generation=generation, slot=slot))
        self.out.to_client(session.client, self._status(session))

    # ---- time

    def tick(self) -> None:
        """Twice a second: say how each session is, let the silent ones go, try the failed ones again."""
        now_ns = self._now_ns()
        for client, heard_ns in list(self._heard_ns.items()):
            if now_ns - heard_ns > SILENCE_NS:
                text = f"nothing heard for {p.SILENCE_S:g} s: the session is closed"
                self._refuse(client, "silent", text)
                self._forget(client)
        for session in self.sessions:
            if session.failure and session.asked and now_ns - session.failed_ns > RETRY_NS:
                self._reopen(session)
            status = self._status(session)
            for client in (session.client, *self._observers):
                self.out.to_client(client, status)
        names = {s.name for s in self.sessions}
        self._pending = [x for x in self._pending if x.session in names]

    def _status(self, session: Session) -> p.Status:
        return session.status(self._now_ns(), self.worker.info, self.worker.progress)

    def overview(self) -> p.Overview:
        """Return how everything is."""
        return p.Overview(
            version=self._version(),
            pid=os.getpid(),
            uptime_s=round((self._now_ns() - self._started_ns) / NS_PER_S, 3),
            worker=self.worker.info,
            sessions=[s.info(self._status(s)) for s in self.sessions],
            styles=self._styles.names,
        )

    def close_all(self, reason: str) -> None:
        """The daemon ends: tell everyone, remove all segments."""
        for client in list(self._heard_ns):
            self.out.to_client(client, p.Error(code="stopping", message=reason))
            self._forget(client)
