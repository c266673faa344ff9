"""The Python client of the daemon: what the commands ask and set through. Pictures are in client_session.py.

One thread uses a client; nothing here starts one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from limner.daemon.client_link import ClientError, DaemonLostError, Link, NoDaemonError, RefusedError
from limner.daemon.protocol import Accepted, Change, Error, Obs, ObsInfo, Overview, Query, Reset, Set
from limner.daemon.wire import Message

__all__ = ["Client", "ClientError", "DaemonLostError", "NoDaemonError", "RefusedError", "version"]

T = TypeVar("T", bound=Message)
ANSWER_S = 5.0


class Client:
    """A connection that asks and sets, without a picture of its own. Use it as a context manager."""

    def __init__(self, runtime_dir: Path | None = None) -> None:
        """Connect to the daemon of `runtime_dir` (default: the user's); raises NoDaemonError."""
        self._link = Link(runtime_dir)
        self._backlog: deque[Message] = deque()

    def query(self, timeout_s: float = ANSWER_S) -> Overview:
        """Return how the daemon, its worker and all sessions are."""
        self._link.send(Query())
        return self._answer(Overview, lambda _: True, "query", timeout_s)

    def set(self, change: Change, session: str = "*", *, rev: int | None = None) -> Accepted:
        """Change settings of `session` (an id, a name, "*" for all); raises RefusedError with the reason.

        `rev` (default: the time in ms, so that two programs do not meet) comes back in Accepted and Applied.
        """
        number = time.time_ns() // 1_000_000 if rev is None else rev
        self._link.send(Set(rev=number, change=change, session=session))
        return self._answer(Accepted, lambda message: message.rev == number, "set", ANSWER_S)

    def reset(self, session: str = "*") -> None:
        """Let `session` (an id, a name, "*" for all) forget its past; raises RefusedError with the reason."""
        self._link.send(Reset(session=session))
        # There is no answer to it, but there is one to what is said after it.
        self._link.send(Query())
        self._answer(Overview, lambda _: True, "reset", ANSWER_S)

    def tell_of_obs(self, info: ObsInfo) -> None:
        """Tell the daemon how OBS is; it passes that on to whoever asks."""
        self._link.send(Obs(info=info))

    def receive_message(self, timeout_s: float) -> Message | None:
        """Return the next message, or None after `timeout_s`; raises DaemonLostError."""
        if self._backlog:
            return self._backlog.popleft()
        return self._link.receive(timeout_s)

    def _answer(self, kind: type[T], fits: Callable[[T], bool], about: str, timeout_s: float) -> T:
        """Wait for the answer to what was just sent; everything else is kept for later."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            message = self._link.receive(left)
            if isinstance(message, kind) and fits(message):
                return message
            if isinstance(message, Error) and message.about in (about, ""):
                raise RefusedError(message.code, message.message)
            if message is not None:
                self._backlog.append(message)
        raise DaemonLostError(f"the daemon did not answer `{about}` within {timeout_s:g} s")

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def version() -> str:
    """Return the version of Limner that is installed."""
    try:
        return installed_version("limner")
    except PackageNotFoundError:
        return "0 (not installed)"
