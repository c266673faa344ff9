"""How much is on its way when a clip is painted at leisure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from limner.cli.figures import Figures
from limner.cli.stream import Streamer
from limner.daemon.client import ClientSession
from limner.daemon.protocol import Plan, Settings, Status


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


def test_without_a_plan_a_chunk_is_what_the_session_began_with() -> None:
    assert streamer(3).has_room()
    assert not streamer(4).has_room()
