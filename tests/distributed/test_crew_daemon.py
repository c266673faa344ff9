"""pocket over two processes, through a real daemon: it paints, loses a rank, and has it back."""

from __future__ import annotations

import json
import os
import signal
import time

import numpy as np
import psutil
import pytest
from tests.support.daemon import RunningDaemon, running_daemon, wait_for

from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.protocol import Change, RankInfo
from limner.daemon.rank_trace import ask_for_trace
from limner.worker.model_source import WEIGHTS

pytestmark = pytest.mark.skipif(not WEIGHTS.exists(), reason="pocket's weights are not there")
TWO = '--ranks={"devices":["cpu"]}'
LAST_DECODES = '--ranks={"devices":["cpu"],"decode":"last"}'
BACK_S = 10.0
BLOCKS = 5


class Live:
    """A session that is fed all the time."""

    def __init__(self, session: ClientSession, daemon: RunningDaemon) -> None:
        self.session, self.daemon = session, daemon
        shape = (session.welcome.height, session.welcome.width, 4)
        ramp = np.linspace(0, 255, shape[1], dtype=np.uint8)[None, :, None]
        self._picture = np.broadcast_to(ramp, shape).tobytes()

    def frame(self) -> bool:
        """Send a frame; whether a painted one came."""
        self.session.send_frame(self._picture)
        event = self.session.receive(0.03)
        if isinstance(event, PaintedFrame):
            event.release()
            return True
        return False

    def paints(self, frames: int = 12) -> float:
        """Wait for painted frames; return how long it took, s."""
        began_s = time.monotonic()
        for _ in range(frames):
            wait_for(self.frame, "a painted frame", log=self.daemon.log)
        return time.monotonic() - began_s

    def ranks(self) -> list[RankInfo]:
        """As the daemon has them."""
        return self.daemon.query().worker.ranks

    def until_without(self, pid: int) -> None:
        """Feed it until a process paints no more."""

        def gone() -> bool:
            self.frame()
            return pid not in [rank.pid for rank in self.ranks()]

        wait_for(gone, f"the loss of {pid}", log=self.daemon.log)

    def until_timed(self) -> None:
        """Feed it until the ranks say how long encoding and decoding take."""

        def there() -> bool:
            self.frame()
            ranks = self.ranks()
            return ranks[0].encode_ms > 0 and any(rank.decodes and rank.decode_ms > 0 for rank in ranks)

        wait_for(there, "times of encoding and decoding", log=self.daemon.log)

    def until_ranks(self, count: int) -> list[RankInfo]:
        """Feed it until so many ranks paint."""

        def there() -> list[RankInfo] | None:
            self.frame()
            ranks = self.ranks()
            # How many blocks each has is the balancer's business, and this machine's.
            return ranks if len(ranks) == count and sum(rank.blocks for rank in ranks) == BLOCKS else None

        return wait_for(there, f"{count} ranks", log=self.daemon.log)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "option"), [(signal.SIGKILL, TWO), (signal.SIGSTOP, TWO), (signal.SIGKILL, LAST_DECODES)]
)
def test_painting_goes_on_without_a_rank_and_takes_it_in_again(number: signal.Signals, option: str) -> None:
    with running_daemon("pocket", threads=2, options=[option]) as daemon:
        worker = daemon.wait_ready().worker.pid
        hello = hello_for("clip", "demo", (640, 360), 30.0, Change(strength=1.0, seed=1))
        with ClientSession(hello, daemon.runtime_dir) as session:
            live = Live(session, daemon)
            live.paints()
            first = live.until_ranks(2)
            assert [rank.rank for rank in first] == [0, 1]
            assert first[1].pid != worker == first[0].pid
            (decodes,) = [rank.rank for rank in first if rank.decodes]
            assert decodes == 1 or option != LAST_DECODES
            assert [rank.encodes for rank in first] == [True, False]
            live.until_timed()
            _looks_at_a_trace(daemon, {decodes} if option == LAST_DECODES else {0, 1})
            os.kill(first[1].pid, number)
            began_s = time.monotonic()
            live.until_without(first[1].pid)
            live.paints()
            # The bar is 10 s from the loss to the picture; the machine of the tests is shared, so twice that.
            assert time.monotonic() - began_s < 2 * BACK_S
            again = live.until_ranks(2)
            assert again[1].pid not in (first[1].pid, worker)
            assert again[0].pid == worker, "the worker went on, with what it had loaded"
            assert [rank.rank for rank in again if rank.decodes] == [1] or option != LAST_DECODES
            live.paints()


def _looks_at_a_trace(daemon: RunningDaemon, may_decode: set[int]) -> None:
    trace = json.loads(ask_for_trace(daemon.runtime_dir, 10.0))
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert {span["name"] for span in spans} == {"encode", "forward", "decode"}
    assert {span["pid"] for span in spans if span["name"] == "forward"} >= {0}
    assert {span["pid"] for span in spans if span["name"] == "encode"} == {0}
    assert {span["pid"] for span in spans if span["name"] == "decode"} & may_decode
    assert all(-60e6 < span["ts"] < 11e6 and span["dur"] >= 0 for span in spans)


@pytest.mark.slow
def test_no_rank_outlives_a_worker_that_is_killed() -> None:
    with running_daemon("pocket", threads=2, options=[TWO]) as daemon:
        overview = daemon.wait_ready()
        ranks = wait_for(
            lambda: [r for r in daemon.query().worker.ranks if r.rank] or None, "ranks", log=daemon.log
        )
        # Stopped, it cannot notice anything itself.
        os.kill(ranks[0].pid, signal.SIGSTOP)
        os.kill(overview.worker.pid, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(ranks[0].pid), "the rank's end", log=daemon.log)
        daemon.wait_ready(not_pid=overview.worker.pid)
