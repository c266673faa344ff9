"""The sessions there are, by name and by client."""

from __future__ import annotations

from collections.abc import Iterator

from limner.daemon.protocol import MAX_NAME_CHARS
from limner.daemon.session import Session

ALL = "*"


class UnknownSessionError(Exception):
    """Nobody has this session; the message lists those there are."""


class Registry:
    """Sessions in the order in which they were opened."""

    def __init__(self) -> None:
        self._by_name: dict[str, Session] = {}
        self._by_client: dict[bytes, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, session: Session) -> None:
        """Take a session in; its name must be free."""
        assert session.name not in self._by_name
        self._by_name[session.name] = session
        self._by_client[session.client] = session

    def remove(self, session: Session) -> None:
        """Let a session go."""
        del self._by_name[session.name]
        del self._by_client[session.client]

    def of(self, client: bytes) -> Session | None:
        """Return the session of a client, if it has one."""
        return self._by_client.get(client)

    def named(self, name: str) -> Session | None:
        """Return the session with exactly this id."""
        return self._by_name.get(name)

    def find(self, name: str) -> list[Session]:
        """Return the session with this id, else all that people call so; raises UnknownSessionError."""
        if name == ALL:
            return list(self)
        found = [s for s in self if s.name == name] or [s for s in self if s.hello.name == name]
        if not found:
            there = ", ".join(repr(s.name) for s in self) or "none"
            raise UnknownSessionError(f"no session {name!r}; open sessions: {there}")
        return found

    def free_name(self, wanted: str) -> str:
        """Return an id like `wanted` that nobody has."""
        base = wanted.strip()[: MAX_NAME_CHARS - 8] or "session"
        if base in (ALL, ""):
            base = "session"
        name, number = base, 1
        while name in self._by_name:
            number += 1
            name = f"{base} #{number}"
        return name
