"""Which of its addresses a rank can be reached at."""

from __future__ import annotations

import pytest
from tests.distributed.network import HERE, other_machine

from limner.engine.pipeline.group import Meeting
from limner.worker.crew import serving
from limner.worker.crew.addresses import own_address
from limner.worker.crew.messages import Gather
from limner.worker.crew.rank_channel import RankChannel


@pytest.fixture
def meetings(monkeypatch: pytest.MonkeyPatch) -> list[Meeting]:
    made: list[Meeting] = []
    monkeypatch.setattr(serving, "join", lambda meeting, **_: made.append(meeting))
    return made


def gather(host: str) -> RankChannel:
    order = Gather(generation=1, rank=1, size=3, host=host, port=7000, transport="gloo")
    return RankChannel(order, lambda _: None)


def test_a_rank_beside_the_worker_is_reached_from_other_machines(meetings: list[Meeting]) -> None:
    with other_machine():
        serving.joined(gather(HERE), "cpu")
    assert meetings[0].address == HERE


def test_where_all_are_on_one_machine_nobody_else_reaches_them(meetings: list[Meeting]) -> None:
    serving.joined(gather("127.0.0.1"), "cpu")
    assert meetings[0].address == "127.0.0.1"


def test_where_there_is_no_way_it_is_an_os_error() -> None:
    with pytest.raises(OSError):
        own_address("no.such.host.invalid")
