"""How much is on its way when a clip is painted at leisure."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Literal, cast

import pytest

from limner.cli import stream
from limner.cli.errors import CliError
from limner.cli.figures import Figures
from limner.cli.stream import Streamer
from limner.daemon.client_session import ClientSession
from limner.daemon.protocol import Plan, Settings, Status, WorkerInfo


def streamer(in_flight: int, plan: Plan | None = None) -> Streamer:
    """A streamer of a session whose other side holds so many frames and says that it paints by `plan`."""
    welcome = SimpleNamespace(height=2, width=2, frames_per_chunk=4, settings=Settings())
    session = cast("ClientSession", SimpleNamespace(welcome=welcome, in_flight=in_flight))
    made = Streamer(session, lambda *_: None, Figures(), realtime=False)
    made.status = Status(session="clip", state="live", sentence="", plan=plan)
    return made


@pytest.mark.parametrize(("chunk", "most"), [(1, 4), (2, 8), (4, 16)])
def test_a_whole_chunk_may_wait_for_the_worker_and_no_more(chunk: int, most: int) -> None:
    plan = Plan(steps=1, mode="throughput", chunk=chunk, width=2, height=2, frame_step=1, reduced=False)
    assert streamer(most - 1, plan).has_room()
    # One more would be surplus, and dropped.
    assert not streamer(most, plan).has_room()


class Loading:
    """A session whose worker loads in `steps` steps, and then stands still or is ready."""

    def __init__(self, steps: int, *, ends: bool) -> None:
        self.welcome = SimpleNamespace(session="clip")
        self._asked, self._steps, self._ends = 0, steps, ends

    def query(self) -> SimpleNamespace:
        self._asked += 1
        state: Literal["ready", "loading"] = (
            "ready" if self._asked > self._steps and self._ends else "loading"
        )
        done = min(self._asked, self._steps)
        worker = WorkerInfo(state=state, model="large", device="GPU", sentence=f"Loading large: {done} GB")
        live = SimpleNamespace(status=SimpleNamespace(session="clip", state="live", sentence=""))
        return SimpleNamespace(worker=worker, sessions=[live])

    def receive(self, timeout_s: float) -> None:
        time.sleep(timeout_s)


def test_a_large_model_may_load_as_long_as_it_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "READY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(stream, "READY_POLL_S", 0.02)
    session = cast("ClientSession", Loading(50, ends=True))
    assert stream.wait_until_ready(session, lambda _: None) == ("large", "GPU")
    stuck = cast("ClientSession", Loading(3, ends=False))
    with pytest.raises(CliError, match=r"nothing new for 0\.5 s \(Loading large: 3 GB\)"):
        stream.wait_until_ready(stuck, lambda _: None)


def test_without_a_plan_a_chunk_is_what_the_session_began_with() -> None:
    assert streamer(3).has_room()
    assert not streamer(4).has_room()
