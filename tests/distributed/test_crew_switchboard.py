"""The worker's sockets to its ranks, without ranks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limner.worker.crew.messages import Pulse
from limner.worker.crew.switchboard import Switchboard


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Switchboard]:
    board = Switchboard(f"ipc://{tmp_path}/s")
    yield board
    board.close()


def test_who_polls_wakes_up_for_what_is_put_and_sleeps_again(board: Switchboard) -> None:
    board.put(b"nobody", Pulse(clock_ns=1))
    assert dict(board.poller.poll(0)) == {board.wake: 1}
    assert board.hear() == []
    board.flush()
    # Else a core is spent on looking whether there is something.
    assert board.poller.poll(0) == []
