"""A real daemon and a real worker that echoes: frames go in and come back."""

from __future__ import annotations

from tests.daemon.echo import echo_session, paint
from tests.support.daemon import running_daemon, wait_for


def test_frames_come_back_as_they_were() -> None:
    with running_daemon() as daemon:
        daemon.wait_ready()
        with echo_session(daemon) as session:
            for value in range(10):
                assert paint(session, value) == value
        wait_for(lambda: not daemon.segments, "the end of the segments")
