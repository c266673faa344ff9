"""Lines that share nothing, with backends that only take notes: NCCL itself needs two GPUs."""

from __future__ import annotations

import os
import threading
from datetime import timedelta

import pytest
import torch
from torch import Tensor
from torch._C._distributed_c10d import HashStore

from limner.engine.errors import GroupBrokenError
from limner.engine.pipeline.group import Group, Meeting
from limner.engine.pipeline.link import ALONG, BACK, line_tag
from limner.engine.pipeline.nccl_lines import NcclLines, outlive_peers

PATIENCE_S = 20.0
MEETING = Meeting(
    host="127.0.0.1", port=1, generation=0, rank=1, size=2, transport="nccl", address="127.0.0.1"
)


class Done:
    """A transfer of NCCL: with a limit of time, it would have the host wait for the device."""

    def __init__(self, fault: Exception | None = None) -> None:
        self._fault = fault

    def wait(self, timeout: timedelta | None = None) -> None:
        assert timeout is None
        if self._fault is not None:
            raise self._fault


class Notes:
    """A communicator that notes what it is asked to do."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self.is_over = False
        self._fault = fault

    def send(self, _: list[Tensor], to: int, tag: int) -> Done:
        assert tag == 0
        self.asked.append(("send", to))
        return Done(self._fault)

    def recv(self, _: list[Tensor], of: int, tag: int) -> Done:
        assert tag == 0
        self.asked.append(("recv", of))
        return Done(self._fault)

    def abort(self) -> None:
        self.is_over = True


def there(*ends: tuple[int, int]) -> HashStore:
    """A store where these ends (tag, rank) have come."""
    store = HashStore()
    for tag, rank in ends:
        store.set(f"{tag}/{rank}", "there")
    return store


def test_a_posted_receive_is_in_the_way_of_no_send() -> None:
    made: dict[int, Notes] = {}
    along, back = line_tag(0, ALONG), line_tag(1, ALONG)
    lines = NcclLines(lambda tag: made.setdefault(tag, Notes()), there((along, 0), (back, 0)), 1)
    for _ in range(3):
        lines.recv([torch.zeros(1)], 0, along)
    lines.send([torch.zeros(1)], 0, back)
    assert made[along].asked == [("recv", 0)] * 3
    assert made[back].asked == [("send", 0)]


def test_every_line_of_a_ring_has_a_tag_of_its_own() -> None:
    tags = [line_tag(rank, way) for rank in range(8) for way in (ALONG, BACK)]
    assert len(set(tags)) == len(tags)


def test_both_ends_of_a_line_come_before_a_communicator_is_made() -> None:
    store, made = HashStore(), threading.Barrier(2)
    ends = [NcclLines(lambda _: (made.wait(PATIENCE_S), Notes())[1], store, rank) for rank in (0, 1)]
    receives = threading.Thread(target=ends[1].recv, args=([torch.zeros(1)], 0, 7))
    receives.start()
    assert made.n_waiting == 0  # It waits for the peer, not in the communicator.
    ends[0].send([torch.zeros(1)], 1, 7)
    receives.join(PATIENCE_S)
    assert not receives.is_alive()


def test_who_waits_for_a_peer_that_never_comes_is_freed() -> None:
    lines, broken = NcclLines(lambda _: Notes(), HashStore(), 1), threading.Event()

    def receives() -> None:
        with pytest.raises(GroupBrokenError, match="over"):
            lines.recv([torch.zeros(1)], 0, 7)
        broken.set()

    thread = threading.Thread(target=receives)
    thread.start()
    lines.abort()
    thread.join(PATIENCE_S)
    assert broken.is_set()


def test_nothing_goes_over_lines_that_are_over() -> None:
    notes = Notes()
    lines = NcclLines(lambda _: notes, there((0, 1), (4, 1)), 0)
    lines.send([torch.zeros(1)], 1, 0)
    lines.abort()
    assert notes.is_over
    with pytest.raises(GroupBrokenError, match="over"):
        lines.send([torch.zeros(1)], 1, 4)


def group(fault: Exception | None) -> Group:
    return Group(MEETING, NcclLines(lambda _: Notes(fault), there((0, 0)), 1), {})


def test_a_transfer_of_nccl_never_has_the_host_wait() -> None:
    group(None).irecv(torch.zeros(1), 0).wait()


def test_a_lost_peer_breaks_the_group_and_a_fault_of_the_card_is_its_own() -> None:
    with pytest.raises(GroupBrokenError, match="remote process exited"):
        group(torch.distributed.DistBackendError("NCCL error: remote process exited")).irecv(
            torch.zeros(1), 0
        ).wait()
    with pytest.raises(RuntimeError, match="illegal memory") as own:
        group(RuntimeError("CUDA error: illegal memory access")).irecv(torch.zeros(1), 0).wait()
    assert not isinstance(own.value, GroupBrokenError)


def test_the_loss_of_a_peer_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", raising=False)
    monkeypatch.setenv("TORCH_NCCL_ENABLE_MONITORING", "1")
    outlive_peers()
    assert os.environ["TORCH_NCCL_ASYNC_ERROR_HANDLING"] == "2"
    assert os.environ["TORCH_NCCL_ENABLE_MONITORING"] == "1"  # As somebody has said.
