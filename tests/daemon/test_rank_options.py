"""Which devices a user may ask for, and what is said where it cannot be."""

from __future__ import annotations

import pytest
from msgspec import structs

from limner.cli.words import rank_line
from limner.daemon.config import DaemonConfig
from limner.daemon.protocol import RankInfo
from limner.daemon.rank_options import RankOptions, checked, rank_options


def test_devices_are_those_of_all_ranks_the_worker_first() -> None:
    assert rank_options("auto", 0, "", "", "") == ("auto", RankOptions())
    assert rank_options("auto", 1, "", "", "") == ("auto", RankOptions())
    assert rank_options("auto", 3, "", "", "") == ("cpu", RankOptions(devices=("cpu", "cpu")))
    two = ("cuda:0", RankOptions(devices=("cuda:1",)))
    assert rank_options("auto", 0, "cuda:0, cuda:1", "", "") == two
    assert rank_options("auto", 2, "cuda:0,cuda:1", "", "") == two
    listens = RankOptions(listen="10.0.0.2:7788", key="/k")
    assert rank_options("cuda", 0, "", "10.0.0.2:7788", "/k") == ("cuda", listens)
    assert not RankOptions()
    assert listens


@pytest.mark.parametrize(
    ("ranks", "devices", "listen", "key", "why"),
    [
        (-1, "", "", "", "1 to 16 ranks"),
        (3, "cuda:0,cuda:1", "", "", "3 ranks have 3 devices"),
        (0, "gpu0,gpu1", "", "", "'gpu1'"),
        (0, "cuda:0,cpu", "", "", "all are processors"),
        (0, "cuda:0,cuda:0", "", "", "a card of its own"),
        (0, "", "10.0.0.2", "/k", "HOST:PORT"),
        (0, "", "10.0.0.2:99999", "/k", "HOST:PORT"),
        (0, "", "0.0.0.0:7788", "/k", "one address"),
        (0, "", "10.0.0.2:7788", "", "limner ranks key"),
        (0, "", "", "/k", "say where they join"),
    ],
)
def test_what_cannot_be_is_said(ranks: int, devices: str, listen: str, key: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rank_options("auto", ranks, devices, listen, key)


def test_which_rank_decodes_may_be_said() -> None:
    own, others = rank_options("auto", 2, "", "", "", decode="last")
    assert (own, others) == ("cpu", RankOptions(devices=("cpu",), decode="last"))
    assert rank_options("auto", 2, "", "", "")[1].decode == "auto"
    with pytest.raises(ValueError, match="auto, first or last, not 'second'"):
        rank_options("auto", 2, "", "", "", decode="second")
    with pytest.raises(ValueError, match="one rank only"):
        rank_options("auto", 1, "", "", "", decode="last")


def test_several_ranks_on_one_gpu_are_asked_about() -> None:
    with pytest.raises(ValueError, match="cuda:0,cuda:1"):
        rank_options("cuda", 2, "", "", "")


def test_echo_has_one_rank() -> None:
    with pytest.raises(ValueError, match="one rank only"):
        DaemonConfig(engine="echo", ranks=checked(RankOptions(devices=("cpu",))))


def test_a_rank_is_a_line_of_the_status() -> None:
    rank = RankInfo(
        rank=1,
        pid=9,
        machine="studio",
        device="NVIDIA L4 (cuda:0)",
        first=3,
        blocks=2,
        busy=0.91,
        bubble=0.05,
        transfer=0.04,
        memory_bytes=2**30,
    )
    assert "codes" not in rank_line(rank)
    codes = structs.replace(rank, encodes=True, decodes=True, decode_ms=31.4)
    assert "blocks 3 to 4, encodes, decodes in 31 ms, busy 91%" in rank_line(codes)
    assert rank_line(rank) == (
        "Rank 1: NVIDIA L4 (cuda:0) on studio, blocks 3 to 4, busy 91%, bubble 5%, transfer 4%, 1024 MiB"
    )
