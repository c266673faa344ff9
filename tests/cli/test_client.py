"""The Python client against a real daemon that echoes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec
import pytest
from tests.support.daemon import RunningDaemon, running_daemon, wait_for

from limner.daemon.client import Client, DaemonLostError, NoDaemonError, RefusedError
from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Applied, Change, Hello

SIZE = (48, 32)
FRAME_BYTES = SIZE[0] * SIZE[1] * 4
TIMEOUT_S = 30.0


def hello(name: str = "test", change: Change | None = None) -> Hello:
    return hello_for(name, "demo", SIZE, 30.0, change or Change(), exact_size=True)


def receive_painted(session: ClientSession) -> PaintedFrame:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        event = session.receive(1.0)
        if isinstance(event, PaintedFrame):
            return event
    raise AssertionError("no painted frame came")


def wait_until_live(session: ClientSession) -> None:
    def live() -> bool:
        return any(
            one.status.session == session.welcome.session and one.status.state == "live"
            for one in session.query().sessions
        )

    wait_for(live, "a live session")


def test_frame_comes_back_with_its_number_and_time(daemon: RunningDaemon) -> None:
    with ClientSession(hello(), daemon.runtime_dir) as session:
        wait_until_live(session)
        pixels = os.urandom(FRAME_BYTES)
        pts_ns = time.monotonic_ns()
        assert session.send_frame(pixels, pts_ns, sequence=812)
        with receive_painted(session) as frame:
            assert (frame.sequence, frame.pts_ns) == (812, pts_ns)
            assert bytes(frame.pixels) == pixels
            assert frame.latency_ns > 0


def test_frames_beyond_the_slots_are_dropped_not_waited_for(daemon: RunningDaemon) -> None:
    with ClientSession(hello(), daemon.runtime_dir) as session:
        slots = session.welcome.input.slots
        # Nothing is received in between, so no slot comes back.
        taken = [session.send_frame(bytes(FRAME_BYTES)) for _ in range(slots + 3)]
        assert taken == [True] * slots + [False] * 3
        assert session.in_flight == slots

        def all_back() -> bool:
            event = session.receive(0.1)
            if isinstance(event, PaintedFrame):
                event.release()
            return session.in_flight == 0

        wait_for(all_back, "the slots", log=daemon.log)


def test_wrong_size_is_named(daemon: RunningDaemon) -> None:
    with ClientSession(hello(), daemon.runtime_dir) as session:
        with pytest.raises(ValueError, match="48×32 RGBA has 6144 bytes, not 100"):
            session.send_frame(bytes(100))
        assert session.in_flight == 0


def test_own_settings_are_accepted_and_applied(daemon: RunningDaemon) -> None:
    with ClientSession(hello(change=Change(style="noir")), daemon.runtime_dir) as session:
        wait_until_live(session)
        assert session.welcome.settings.style == "noir"
        accepted = session.set(Change(style="neon", strength=0.25), "", rev=7)
        assert (accepted.rev, accepted.settings.style, accepted.settings.strength) == (7, "neon", 0.25)

        def applied() -> bool:
            session.send_frame(bytes(FRAME_BYTES))
            event = session.receive(0.1)
            if isinstance(event, PaintedFrame):
                event.release()
            return isinstance(event, Applied) and event.rev == 7

        wait_for(applied, "applied", log=daemon.log)


def test_unknown_style_and_session_are_refused(daemon: RunningDaemon) -> None:
    with Client(daemon.runtime_dir) as client:
        with pytest.raises(RefusedError, match="did you mean 'neon'"):
            client.set(Change(style="neom"))
        with pytest.raises(RefusedError, match="no session 'nobody'"):
            client.set(Change(steps=2), "nobody")
        assert client.query().pid == daemon.pid


def test_hello_with_values_out_of_range() -> None:
    with pytest.raises(msgspec.ValidationError):
        hello_for("x", "demo", (0, 5), 30.0, Change())


def test_no_daemon(no_daemon: Path) -> None:
    with pytest.raises(NoDaemonError, match="no daemon is running; start one with"):
        Client(no_daemon)
    (no_daemon / "daemon.sock").touch()
    with pytest.raises(NoDaemonError):
        Client(no_daemon)
    (no_daemon / "daemon.sock").unlink()


def test_runtime_dir_that_is_too_long() -> None:
    with pytest.raises(NoDaemonError, match="too long"):
        Client(Path("/tmp") / ("x" * 120))


def test_session_that_only_listens_stays_open(daemon: RunningDaemon) -> None:
    """`receive` says the heartbeat: a clip that pauses must not lose its session."""
    with ClientSession(hello("quiet"), daemon.runtime_dir) as session:
        end = time.monotonic() + 3.0
        while (left := end - time.monotonic()) > 0:
            session.receive(left)
        assert "quiet" in [one.name for one in daemon.query().sessions]
    wait_for(lambda: not daemon.query().sessions, "the end of the session")


def test_daemon_that_dies_is_noticed_and_cleaned_up_after() -> None:
    with running_daemon() as daemon:
        session = ClientSession(hello(), daemon.runtime_dir)
        assert len(daemon.segments) == 2
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.process.wait()
        with pytest.raises(DaemonLostError):
            while True:
                session.receive(TIMEOUT_S)
        session.close()
        assert daemon.segments == []
        for socket in daemon.runtime_dir.glob("*.sock"):
            socket.unlink()


def test_daemon_that_says_nothing_is_gone() -> None:
    with running_daemon() as daemon:
        with ClientSession(hello(), daemon.runtime_dir) as session:
            os.kill(daemon.pid, signal.SIGSTOP)
            try:
                with pytest.raises(DaemonLostError, match="silent"):
                    while True:
                        session.receive(TIMEOUT_S)
            finally:
                os.kill(daemon.pid, signal.SIGCONT)
        wait_for(lambda: not daemon.query().sessions, "the end of the session", log=daemon.log)
