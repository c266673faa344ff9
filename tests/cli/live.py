"""A session that is live while a command runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from tests.support.daemon import RunningDaemon, wait_for

from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Change

SIZE = (48, 32)


@contextmanager
def live_session(daemon: RunningDaemon, name: str) -> Iterator[None]:
    """A session that sends and takes frames in its own thread."""
    over = Event()

    def stream() -> None:
        hello = hello_for(name, "demo", SIZE, 30.0, Change(), exact_size=True)
        with ClientSession(hello, daemon.runtime_dir) as session:
            while not over.is_set():
                session.send_frame(bytes(session.welcome.width * session.welcome.height * 4))
                event = session.receive(0.03)
                if isinstance(event, PaintedFrame):
                    event.release()

    thread = Thread(target=stream, name=f"session {name}")
    thread.start()

    def live() -> bool:
        return any(
            one.name == name and one.status.state == "live" and one.status.painted > 0
            for one in daemon.query().sessions
        )

    try:
        wait_for(live, f"session {name}", log=daemon.log)
        yield
    finally:
        over.set()
        thread.join()
