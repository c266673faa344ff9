"""Changes to settings: who is meant, what new sessions start with, who hears when a change is visible."""

from __future__ import annotations

from dataclasses import dataclass

from limner.daemon import protocol as p
from limner.daemon.floor import Floor
from limner.daemon.registry import ALL, UnknownSessionError
from limner.daemon.sayings import of_notes
from limner.daemon.session import Session
from limner.daemon.settings import resolve, restyled
from limner.daemon.styles import Styles
from limner.daemon.worker_protocol import Done

MAX_PENDING = 1000


@dataclass(frozen=True, kw_only=True)
class _Pending:
    """A change on its way to the picture, and who wants to know."""

    session: str
    rev: int
    client: bytes
    client_rev: int


class Changes:
    """Latest wins. The daemon counts changes itself (`rev`); the counts of clients are translated."""

    def __init__(self, floor: Floor, styles: Styles) -> None:
        self._floor, self._styles = floor, styles
        self._pending: list[_Pending] = []
        # What new sessions start with: the first style, then what `set` for all sessions said.
        names = styles.names
        self._defaults, _ = resolve(p.Settings(), p.Change(style=names[0] if names else None), styles)

    def first(self, own: p.Change) -> tuple[p.Settings, list[str]]:
        """Return what a new session starts with, and notes; raises UnknownStyleError."""
        return resolve(self._defaults, own, self._styles)

    def restyle(self, styles: Styles) -> list[Session]:
        """Take other styles, and return the sessions whose look that changes: those in a style that did."""
        old, self._styles = self._styles, styles
        self._defaults = _in_new_style(self._defaults, old, styles)
        changed = []
        for session in self._floor.sessions:
            settings = _in_new_style(session.settings, old, styles)
            if settings != session.settings:
                session.settings, session.rev = settings, self._floor.next_rev()
                changed.append(session)
        return changed

    def opened(self, session: Session) -> None:
        """Let the client of a new session hear when its first settings are in the picture, as rev 0."""
        self._expect(session, session.client, 0)

    def accept(self, client: bytes, message: p.Set) -> list[Session]:
        """Put a change in force, answer `accepted`, and return the sessions that it changed.

        Raises UnknownStyleError, UnknownSessionError; nothing has changed then.
        """
        sessions, where = self.targets(client, message.session)
        changed = [(s, *resolve(s.settings, message.change, self._styles)) for s in sessions]
        if message.session == ALL:
            self._defaults, notes = self.first(message.change)
            settings = self._defaults
            if not changed:
                notes.append("no session is open; new ones start with this")
        else:
            _, settings, notes = changed[0]
        accepted = p.Accepted(
            rev=message.rev, session=where, settings=settings, notes=notes, sayings=of_notes(notes)
        )
        self._floor.out.to_client(client, accepted)
        for session, its_settings, _ in changed:
            self._put_in_force(session, its_settings, client, message.rev)
        return sessions

    def targets(self, client: bytes, name: str) -> tuple[list[Session], str]:
        """Return whom a client means by a name, and what to call them; raises UnknownSessionError."""
        if name:
            return self._floor.sessions.find(name), name
        own = self._floor.sessions.of(client)
        if own is None:
            raise UnknownSessionError('this client has no session; name one, or "*" for all')
        return [own], own.name

    def _put_in_force(self, session: Session, settings: p.Settings, client: bytes, client_rev: int) -> None:
        session.settings, session.rev = settings, self._floor.next_rev()
        if settings.bypass:
            # The source is shown at once: there is no chunk to wait for.
            applied = p.Applied(rev=client_rev, session=session.name, chunk=0, pts_ns=self._floor.now_ns())
            self._floor.out.to_client(client, applied)
            return
        self._expect(session, client, client_rev)

    def _expect(self, session: Session, client: bytes, client_rev: int) -> None:
        pending = _Pending(session=session.name, rev=session.rev, client=client, client_rev=client_rev)
        self._pending = [*self._pending, pending][-MAX_PENDING:]

    def done(self, done: Done) -> None:
        """Tell everyone whose change is in the picture; a change that a newer one replaced is, too."""
        due = [x for x in self._pending if x.session == done.session and x.rev <= done.rev]
        self._pending = [x for x in self._pending if x not in due]
        for x in due:
            applied = p.Applied(
                rev=x.client_rev,
                session=done.session,
                chunk=done.chunk,
                pts_ns=done.pts_ns,
                # What was overtaken had other words.
                notes=[done.note] if done.note and x.rev == done.rev else [],
            )
            self._floor.out.to_client(x.client, applied)

    def forget(self, session: Session) -> None:
        """Nobody waits for a session that is closed."""
        self._pending = [x for x in self._pending if x.session != session.name]


def _in_new_style(settings: p.Settings, old: Styles, new: Styles) -> p.Settings:
    before, after = old.get(settings.style), new.get(settings.style)
    return restyled(settings, before, after) if before and after and before != after else settings
