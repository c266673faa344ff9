"""The real model in a real worker of a real daemon."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.daemon import RunningDaemon, running_daemon, wait_for

from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Applied, Change
from limner.worker.model_source import WEIGHTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS.exists(), reason="pocket's weights are not there"),
]
MAX_MEMORY_BYTES = 2**30


def painted(session: ClientSession, daemon: RunningDaemon, *, after: int) -> PaintedFrame:
    """Send frames until one whose sequence is above `after` comes back painted."""
    shape = (session.welcome.height, session.welcome.width, 4)
    ramp = np.broadcast_to(np.linspace(0, 255, shape[1], dtype=np.uint8)[None, :, None], shape)

    def look() -> PaintedFrame | None:
        session.send_frame(ramp.tobytes())
        event = session.receive(0.03)
        if isinstance(event, PaintedFrame):
            if event.sequence > after:
                return event
            event.release()
        return None

    return wait_for(look, "a painted frame", log=daemon.log)


def test_pocket_paints_obeys_and_stays_small() -> None:
    with running_daemon("pocket", threads=2) as daemon:
        worker = daemon.wait_ready().worker
        assert (worker.model, worker.device) == ("pocket", "CPU")
        hello = hello_for("clip", "demo", (640, 360), 30.0, Change(strength=1.0, seed=1))
        with ClientSession(hello, daemon.runtime_dir) as session:
            assert (session.welcome.width, session.welcome.height) == (320, 176)
            with painted(session, daemon, after=-1) as frame:
                first = np.frombuffer(frame.pixels, dtype=np.uint8).copy()
            session.set(Change(strength=0.0), rev=3)

            def applied() -> Applied | None:
                painted(session, daemon, after=-1).release()
                while (event := session.receive(0.0)) is not None:
                    if isinstance(event, PaintedFrame):
                        event.release()
                    elif isinstance(event, Applied) and event.rev:
                        return event
                return None

            assert wait_for(applied, "`applied`", log=daemon.log).rev == 3
            source = np.linspace(0, 255, 320, dtype=np.uint8)
            with painted(session, daemon, after=session._next_sequence) as frame:
                second = np.frombuffer(frame.pixels, dtype=np.uint8).reshape(176, 320, 4).copy()
            # At strength 0 the picture is the source, as the autoencoder has it.
            assert np.abs(second[..., :3].mean(axis=(0, 2)) - source).mean() < 20
            assert np.abs(first.reshape(176, 320, 4).astype(int) - second).mean() > 1
        memory_bytes = daemon.query().worker.memory_bytes
        assert 2**20 < memory_bytes < MAX_MEMORY_BYTES
