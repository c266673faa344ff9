"""What the daemon does with each client's message: pure decisions. A test has no sockets (sockets.py).

Nothing here waits: a client that does not answer, a worker that is gone or a slot that is missing changes
what is sent, never when.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import structs

from limner.daemon import protocol as p
from limner.daemon.changes import Changes
from limner.daemon.floor import Floor, Outbox
from limner.daemon.metrics import NS_PER_S
from limner.daemon.painting import Painting
from limner.daemon.registry import UnknownSessionError
from limner.daemon.sayings import of_notes
from limner.daemon.segment import SegmentError
from limner.daemon.session import SegmentPair, Session
from limner.daemon.sizes import EngineTraits, working_size
from limner.daemon.slots import Owner, SlotError
from limner.daemon.styles import Styles, UnknownStyleError
from limner.daemon.wire import Message, WireError

log = logging.getLogger("limner.daemon")
# A peer that sends nonsense at 60 Hz must not fill the disk.
COMPLAIN_NS = NS_PER_S
# A pause between ticks that is our own: this process was stopped, or the machine slept.
STALL_NS = NS_PER_S
SILENCE_NS = int(p.SILENCE_S * NS_PER_S)
SAY_HELLO = "no session is open here; say hello first"


class Hub:
    """Clients and their sessions. `painting` is the worker's side."""

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
        self.floor = Floor(outbox, now_ns)
        self._changes = Changes(self.floor, styles)
        self.painting = Painting(self.floor, self._changes.done)
        self._prefix, self._engine, self._traits, self._styles = prefix, engine, traits, styles
        self.painting.prepare(styles.prompts)
        self._version = version
        self._started_ns = self._ticked_ns = now_ns()
        self._complained_ns = self._started_ns - COMPLAIN_NS
        self._prompts: Sequence[str] = ()
        self._styles_problem = ""
        self.obs: p.ObsInfo | None = None
        """What is known of OBS; None: nobody looks."""
        # A message for segments of an earlier daemon must not fit ours.
        self._generation = secrets.randbelow(1 << 31)
        self._observers: set[bytes] = set()
        self._heard_ns: dict[bytes, int] = {}
        self._handlers: dict[type[Message], Callable[[bytes, Any], None]] = {
            p.Hello: self._hello,
            p.Frame: self._frame,
            p.Free: self._free,
            p.Set: self._set,
            p.Reset: self._reset,
            p.Query: self._query,
            p.Obs: self._obs,
            p.Ping: self._ping,
            p.Bye: self._bye,
        }

    def client_said(self, client: bytes, data: bytes) -> None:
        """Take one message of a client. A bad one is answered with one error; the session goes on."""
        try:
            message = p.from_client.decode(data)
        except WireError as error:
            self.refuse(client, error.code, str(error))
            return
        if client in self._heard_ns:
            self._heard_ns[client] = self.floor.now_ns()
        self._handlers[type(message)](client, message)

    def refuse(self, client: bytes, code: str, text: str, about: str = "") -> None:
        """Answer that something cannot be."""
        now_ns = self.floor.now_ns()
        if now_ns - self._complained_ns >= COMPLAIN_NS:
            self._complained_ns = now_ns
            log.warning("refused %s: %s", about or "a message", text)
        self.floor.out.to_client(client, p.Error(code=code, message=text, about=about))

    # ---- sessions

    def _hello(self, client: bytes, hello: p.Hello) -> None:
        self._forget(client)
        try:
            settings, notes = self._first_settings(hello)
        except UnknownStyleError as error:
            self.refuse(client, "unknown_style", str(error), "hello")
            return
        if hello.role == "observer":
            self._observers.add(client)
            self._heard_ns[client] = self.floor.now_ns()
            accepted = p.Accepted(rev=0, session="", settings=settings, notes=notes)
            self.floor.out.to_client(client, accepted)
            return
        session = self._open(client, hello, settings)
        if session is not None:
            self._heard_ns[client] = self.floor.now_ns()
            self._welcome(session, notes)
            self._changes.opened(session)
            self.painting.open(session)

    def _first_settings(self, hello: p.Hello) -> tuple[p.Settings, list[str]]:
        try:
            return self._changes.first(hello.settings)
        except UnknownStyleError as error:
            if hello.role != "filter":
                raise
            # A style that a filter saved long ago must cost neither its picture nor its other settings.
            log.warning("%r starts without its style: %s", hello.name, error)
            settings, notes = self._changes.first(structs.replace(hello.settings, style=None))
            return settings, [str(error), *notes]

    def _open(self, client: bytes, hello: p.Hello, settings: p.Settings) -> Session | None:
        width, height = working_size(
            hello.source_width, hello.source_height, self._traits, exact_size=hello.exact_size
        )
        self._generation += 1
        try:
            segments = SegmentPair.create(
                self._prefix, self._traits, generation=self._generation, width=width, height=height
            )
        except (SegmentError, OSError) as error:
            self.refuse(client, "no_memory", str(error), "hello")
            return None
        session = Session(
            name=self.floor.sessions.free_name(hello.name or hello.role),
            client=client,
            hello=hello,
            segments=segments,
            settings=settings,
            rev=self.floor.next_rev(),
        )
        self.floor.sessions.add(session)
        log.info("session %r opened by %r, painted at %d×%d", session.name, hello.client, width, height)
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
        accepted = p.Accepted(
            rev=0, session=session.name, settings=session.settings, notes=notes, sayings=of_notes(notes)
        )
        self.floor.out.to_client(session.client, welcome)
        self.floor.out.to_client(session.client, accepted)
        self.floor.say_status(session)

    def _bye(self, client: bytes, _: p.Bye) -> None:
        self._forget(client)

    def _forget(self, client: bytes) -> None:
        self._observers.discard(client)
        self._heard_ns.pop(client, None)
        session = self.floor.sessions.of(client)
        if session is None:
            return
        self.floor.sessions.remove(session)
        session.segments.unlink()
        self.painting.close(session)
        self._changes.forget(session)
        log.info("session %r closed", session.name)

    # ---- frames

    def _frame(self, client: bytes, frame: p.Frame) -> None:
        session = self._session_for(client, frame.generation, "frame")
        if session is None or not self._hand_over(client, session, frame):
            return
        now_ns = self.floor.now_ns()
        session.frame_came(now_ns)
        if session.painting:
            self.painting.give(session, frame)
            return
        session.input.hand_over(frame.slot, giver=Owner.WORKER)
        if not session.settings.bypass:
            session.frame_dropped(now_ns)
        self.floor.free_inputs(session, [frame.slot])

    def _free(self, client: bytes, free: p.Free) -> None:
        session = self._session_for(client, free.generation, "free")
        if session and self._hand_over(client, session, free) and session.asked:
            self.painting.return_output(session, free.slot)

    def _hand_over(self, client: bytes, session: Session, message: p.Frame | p.Free) -> bool:
        """Move a slot from the client to the worker; False: it was not the client's."""
        is_frame = isinstance(message, p.Frame)
        try:
            (session.input if is_frame else session.output).hand_over(message.slot, giver=Owner.CLIENT)
        except SlotError as error:
            self.refuse(client, "slot", str(error), "frame" if is_frame else "free")
            return False
        return True

    def _session_for(self, client: bytes, generation: int, about: str) -> Session | None:
        """Return the client's session when it may speak of `generation`; answers what is wrong otherwise."""
        session = self.floor.sessions.of(client)
        if session is None:
            self.refuse(client, "no_session", SAY_HELLO, about)
            return None
        if generation > session.segments.generation:
            text = f"generation {generation} is not there yet, it is {session.segments.generation}"
            self.refuse(client, "generation", text, about)
        return session if generation == session.segments.generation else None

    # ---- settings and questions

    def _set(self, client: bytes, message: p.Set) -> None:
        try:
            changed = self._changes.accept(client, message)
        except UnknownStyleError as error:
            self.refuse(client, "unknown_style", str(error), "set")
        except UnknownSessionError as error:
            self.refuse(client, "unknown_session", str(error), "set")
        else:
            for session in changed:
                self.painting.update(session)
                self.floor.say_status(session)

    def _reset(self, client: bytes, message: p.Reset) -> None:
        try:
            sessions, _ = self._changes.targets(client, message.session)
        except UnknownSessionError as error:
            self.refuse(client, "unknown_session", str(error), "reset")
            return
        for session in sessions:
            self.painting.reset(session)

    def _query(self, client: bytes, _: p.Query) -> None:
        self.floor.out.to_client(client, self.overview())

    def _obs(self, _: bytes, message: p.Obs) -> None:
        self.obs = message.info

    def _ping(self, client: bytes, _: p.Ping) -> None:
        if client not in self._heard_ns:
            self.refuse(client, "no_session", SAY_HELLO, "ping")

    def overview(self) -> p.Overview:
        """Return how everything is."""
        sessions = list(self.floor.sessions)
        return p.Overview(
            version=self._version(),
            pid=os.getpid(),
            uptime_s=round((self.floor.now_ns() - self._started_ns) / NS_PER_S, 3),
            worker=self.floor.worker.info,
            sessions=[s.info(self.floor.status(s)) for s in sessions],
            styles=self._styles.names,
            styles_problem=self._styles_problem,
            obs=self.obs,
        )

    def styles_changed(self, styles: Styles, problem: str, prompts: Sequence[str] = ()) -> None:
        """Take other styles; `problem` says why the user's file is not among them, if it is not.

        `prompts` may be asked for besides those of the styles: rules name some.
        """
        self._styles_problem = problem
        if (styles, prompts) == (self._styles, self._prompts):
            return
        others = styles.names != self._styles.names
        self._styles, self._prompts = styles, prompts
        if others:
            for session in self.floor.sessions:
                self.floor.out.to_client(session.client, p.Styles(styles=styles.names))
        self.painting.prepare([*styles.prompts, *prompts])
        for session in self._changes.restyle(styles):
            self.painting.update(session)
            self.floor.say_status(session)

    # ---- time

    def tick(self) -> None:
        """Twice a second: say how each session is, let the silent ones go, try the failed ones again."""
        now_ns = self.floor.now_ns()
        if now_ns - self._ticked_ns > STALL_NS:
            # It is we who were away: nobody was silent.
            self._heard_ns = dict.fromkeys(self._heard_ns, now_ns)
            self.floor.worker.we_were_away(now_ns)
        self._ticked_ns = now_ns
        for client, heard_ns in list(self._heard_ns.items()):
            if now_ns - heard_ns > SILENCE_NS:
                self.refuse(client, "silent", f"nothing heard for {p.SILENCE_S:g} s: the session is closed")
                self._forget(client)
        for session in self.floor.sessions:
            self.painting.retry(session)
            status = self.floor.status(session)
            for client in (session.client, *self._observers):
                self.floor.out.to_client(client, status)

    def close_all(self, reason: str) -> None:
        """The daemon ends: tell everyone, remove all segments."""
        for client in list(self._heard_ns):
            self.floor.out.to_client(client, p.Error(code="stopping", message=reason))
            self._forget(client)
