"""Lines that share nothing, with backends that only take notes: NCCL itself needs two GPUs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limner.engine.pipeline.link import ALONG, BACK, line_tag
from limner.engine.pipeline.nccl_lines import NcclLines


class Notes:
    """A communicator that notes what it is asked to do."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.is_over = False

    def send(self, _: list[Tensor], to: int, tag: int) -> None:
        assert tag == 0
        self.asked.append(("send", to))

    def recv(self, _: list[Tensor], of: int, tag: int) -> None:
        assert tag == 0
        self.asked.append(("recv", of))

    def abort(self) -> None:
        self.is_over = True


def test_a_posted_receive_is_in_the_way_of_no_send() -> None:
    made: dict[int, Notes] = {}
    lines = NcclLines(lambda tag: made.setdefault(tag, Notes()))
    there, back = line_tag(0, ALONG), line_tag(1, ALONG)
    for _ in range(3):
        lines.recv([torch.zeros(1)], 0, there)
    lines.send([torch.zeros(1)], 0, back)
    assert made[there].asked == [("recv", 0)] * 3
    assert made[back].asked == [("send", 0)]


def test_every_line_of_a_ring_has_a_tag_of_its_own() -> None:
    tags = [line_tag(rank, way) for rank in range(8) for way in (ALONG, BACK)]
    assert len(set(tags)) == len(tags)


def test_nothing_goes_over_lines_that_are_over() -> None:
    notes = Notes()
    lines = NcclLines(lambda _: notes)
    lines.send([torch.zeros(1)], 1, 0)
    lines.abort()
    assert notes.is_over
    with pytest.raises(RuntimeError, match="over"):
        lines.send([torch.zeros(1)], 1, 4)
