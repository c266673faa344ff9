"""A real daemon and a real worker that echoes: frames go in and come back."""

from __future__ import annotations

from tests.support.daemon import RunningDaemon, running_daemon, wait_for

from limner.daemon.client import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Change

SIZE = (64, 48)


def echo_session(daemon: RunningDaemon, name: str = "pattern", change: Change | None = None) -> ClientSession:
    hello = hello_for(name, "demo", SIZE, 30.0, change or Change(), exact_size=True)
    return ClientSession(hello, daemon.runtime_dir)


def paint(session: ClientSession, value: int) -> int:
    """Send frames of one value until one comes back; return the value that the picture has."""

    def painted() -> PaintedFrame | None:
        session.send_frame(bytes([value]) * (SIZE[0] * SIZE[1] * 4))
        event = session.receive(0.5)
        if isinstance(event, PaintedFrame):
            if event.pixels[0] == value:
                return event
            event.release()
        return None

    with wait_for(painted, f"a painted frame of {value}") as frame:
        values = set(frame.pixels)
        assert len(values) == 1
        return values.pop()


def test_frames_come_back_as_they_were() -> None:
    with running_daemon() as daemon:
        daemon.wait_ready()
        with echo_session(daemon) as session:
            for value in range(40):
                assert paint(session, value) == value
        wait_for(lambda: not daemon.segments, "the end of the segments")
