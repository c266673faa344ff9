"""Sessions with an echo engine."""

from __future__ import annotations

from tests.support.daemon import RunningDaemon, wait_for

from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Change

SIZE = (64, 48)


def echo_session(daemon: RunningDaemon, name: str = "pattern", change: Change | None = None) -> ClientSession:
    """Open a session whose frames have `SIZE`, with an echo engine."""
    hello = hello_for(name, "demo", SIZE, 30.0, change or Change(), exact_size=True)
    return ClientSession(hello, daemon.runtime_dir)


def paint(session: ClientSession, value: int) -> int:
    """Send frames of one value until one comes back; return the value that the picture has."""

    def painted() -> PaintedFrame | None:
        session.send_frame(bytes([value]) * (SIZE[0] * SIZE[1] * 4))
        event = session.receive(0.05)
        if isinstance(event, PaintedFrame):
            if event.pixels[0] == value:
                return event
            event.release()
        return None

    with wait_for(painted, f"a painted frame of {value}") as frame:
        values = set(frame.pixels)
        assert len(values) == 1
        return values.pop()
