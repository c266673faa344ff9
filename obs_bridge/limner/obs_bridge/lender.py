"""What the rules have lent to which session: kept over the sessions' comings and goings, and over our own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from limner.daemon.protocol import Change, SessionInfo, Settings
from limner.daemon.rulebook import Rule
from limner.daemon.style_edit import save
from limner.obs_bridge.loans import Loan, Step, returned, step
from limner.obs_bridge.rules import Wanted, wanted
from limner.obs_bridge.state import ObsState

log = logging.getLogger("limner.obs")
# What was refused is tried again after this long: the style may be on its way.
AGAIN_S = 2.0
MOST_KEPT = 100


@dataclass(frozen=True, kw_only=True)
class Todo:
    """A change for a session."""

    session: str
    step: Step
    wanted: Wanted


class Lender:
    """Only OBS's filters are concerned: a demo or a bench is nobody's scene."""

    def __init__(self, file: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        self._file, self._now_s = file, now_s
        self._loans: dict[str, Loan] = _read(file)
        self._open: set[str] = set()
        self._refused: dict[str, tuple[Change, float]] = {}
        self.reasons: dict[str, str] = {}
        """By session: what the rules set there and why, or why that failed."""

    def todo(self, rules: Sequence[Rule], state: ObsState, sessions: Iterable[SessionInfo]) -> list[Todo]:
        """Return what is to be said now."""
        filters = [one for one in sessions if one.role == "filter"]
        self._note_who_is_there(filters)
        found = []
        for one in filters:
            session, now = one.status.session, one.status.settings
            what = wanted(rules, state, session, one.name)
            if self._is_refused(session, what.change):
                continue
            self._explain(session, "; ".join(what.reasons))
            due = step(self._loans.get(session), what.change, now)
            if due is not None:
                found.append(Todo(session=session, step=due, wanted=what))
        return found

    def _note_who_is_there(self, filters: list[SessionInfo]) -> None:
        names = {one.status.session for one in filters}
        for one in filters:
            session = one.status.session
            if session not in self._open and (loan := self._loans.get(session)):
                self._loans[session] = returned(loan, one.status.settings)
        self._open = names
        self.reasons = {name: reason for name, reason in self.reasons.items() if name in names}

    def done(self, todo: Todo, after: Settings) -> None:
        """Note that a change is in force, and what that came to."""
        self._refused.pop(todo.session, None)
        self._loans.pop(todo.session, None)
        if todo.step.lent != Change():
            self._loans[todo.session] = Loan(before=todo.step.before, lent=todo.step.lent, after=after)
        self._write()
        log.info("%s: %s", todo.session, "; ".join(todo.wanted.reasons) or "as it was before the rules")

    def refused(self, todo: Todo, why: str) -> None:
        """Note that the daemon did not take a change."""
        if todo.session not in self._refused:
            log.warning("%s: %s", todo.session, why)
        self._refused[todo.session] = (todo.wanted.change, self._now_s() + AGAIN_S)
        self._explain(todo.session, f"{'; '.join(todo.wanted.reasons)}: refused, {why}")

    def _is_refused(self, session: str, change: Change) -> bool:
        refused, until_s = self._refused.get(session, (None, 0.0))
        return refused == change and self._now_s() < until_s

    def _explain(self, session: str, reason: str) -> None:
        if reason:
            self.reasons[session] = reason
        else:
            self.reasons.pop(session, None)

    def _write(self) -> None:
        kept = dict(list(self._loans.items())[-MOST_KEPT:])
        try:
            save(self._file, msgspec.json.encode(kept).decode())
        except OSError as error:
            log.warning("cannot write %s: %s", self._file, error)


def _read(file: Path) -> dict[str, Loan]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Loan])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        # Of another version, perhaps: what was lent then stays where it is.
        log.warning("cannot use %s: %s", file, error)
        return {}
