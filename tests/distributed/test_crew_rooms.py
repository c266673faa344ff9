"""Each rank holds what its card has memory for: at first, when one is lost, and when one's memory is full."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tests.distributed import crew_tiny as tiny
from tests.distributed.rings import tiny_of, weights_of
from tests.engine.streaming import clip, settings_of
from tests.engine.tiny import random_weights
from tests.support.daemon import limner_processes

from limner.engine.blocks import counts_of
from limner.engine.overlap import OverlappedStream
from limner.engine.pipeline.lanes import PipelineLanes
from limner.engine.pipeline.ring import PipelineError
from limner.models.plan_bytes import Choice
from limner.models.plan_cards import Card
from limner.models.plan_choice import RESERVE_BYTES, Wishes
from limner.models.plan_dit import DitSizes
from limner.models.plan_model import ModelSizes
from limner.models.plan_rank_bytes import Places, beside_bytes, block_bytes
from limner.models.plan_ranks import RankCard, RanksPlan
from limner.models.plan_small_vae import PocketVaeSizes
from limner.worker.crew.config import CrewConfig
from limner.worker.crew.crew import Crew
from limner.worker.crew.engine import CrewEngine
from limner.worker.crew.formation import RankProcess
from limner.worker.crew.lanes import CrewLanes
from limner.worker.crew.messages import Hello
from limner.worker.crew.rooms import LEARNED_S, OWN, LackError, Rooms

PATIENCE_S = 60.0
CHOICE = Choice(
    size=(48, 32), weights="bf16", vae="pocket", window_frames=4, sink_frames=1, steps=1, text="cpu"
)


def model() -> ModelSizes:
    """The tiny one, as the plan sees it."""
    config = tiny_of(tiny.LAYERS)
    return ModelSizes(
        name=config.name,
        dit=DitSizes.from_table(dataclasses.asdict(config.dit)),
        vae=PocketVaeSizes.from_table(dataclasses.asdict(config.vae)),  # type: ignore[call-overload]
        has_taehv=False,
        text_tokens=4,
        has_umt5=False,
        sizes=(CHOICE.size,),
    )


def free_for(rank: int, blocks: int) -> int:
    """Free memory of a card that holds just so many blocks."""
    each = block_bytes(model(), CHOICE)
    return RESERVE_BYTES + beside_bytes(model(), CHOICE, rank, Places()) + blocks * each + each // 2


def card(rank: int, blocks: int) -> Card:
    free = free_for(rank, blocks)
    return Card(index=0, name=f"card {rank}", total_bytes=free, free_bytes=free, capability=(9, 0))


def process(rank: int, blocks: int, processors: int = 0) -> RankProcess:
    return RankProcess(
        peer=bytes([rank]),
        hello=Hello(
            seat=rank,
            machine="here",
            pid=rank,
            device="cuda",
            device_name=f"card {rank}",
            place=f"place {rank}",
            total_bytes=free_for(rank, blocks),
            free_bytes=free_for(rank, blocks),
            capability=(9, 0),
            processors=processors,
        ),
    )


def rooms_with(own: int, processors: int = 0) -> Rooms:
    plan = RanksPlan(
        model=model(),
        cards=(RankCard(card=card(0, own)),),
        wishes=Wishes(),
        choice=CHOICE,
        places=Places(),
        rooms=(own,),
    )
    return Rooms(tiny.LAYERS, plan, processors)


def most(rooms: Rooms, ranks: Sequence[RankProcess], now_s: float = 0.0) -> list[int]:
    return [cost.most_blocks for cost in rooms.costs(ranks, now_s)]


def test_each_card_has_room_for_what_it_says() -> None:
    rooms, ranks = rooms_with(2), [process(1, 3), process(2, 4)]
    assert most(rooms, ranks) == [2, 3, 4]
    assert rooms.lack(ranks, 0.0) == ""
    with pytest.raises(LackError, match=r"tiny lacks .* card 1 \(.* has room for 3"):
        rooms.costs(ranks[:1], 0.0)


def test_what_was_too_much_is_less_for_a_while() -> None:
    rooms, ranks = rooms_with(2), [process(1, 3), process(2, 4)]
    assert rooms.learn(ranks[1].place, 4, 10.0) == 3
    rooms.limit(OWN, 1, 10.0)
    assert most(rooms, ranks, 11.0) == [1, 3, 3]
    assert most(rooms, ranks, 11.0 + LEARNED_S) == [2, 3, 4]
    assert rooms.learn(ranks[1].place, 1, 10.0) == 0


def test_a_first_split_is_by_the_cards_processors_then_by_what_was_measured() -> None:
    rooms, ranks = rooms_with(6, processors=50), [process(1, 6, processors=100)]
    assert [cost.block_ms for cost in rooms.costs(ranks, 0.0)] == [2.0, 1.0]
    assert [cost.block_ms for cost in rooms.costs([process(1, 6)], 0.0)] == [1.0, 1.0]
    rooms.measured({OWN: 3.0, ranks[0].place: 1.0})
    assert [cost.block_ms for cost in rooms.costs(ranks, 0.0)] == [3.0, 1.0]


def test_processors_have_room_for_all_until_one_has_not() -> None:
    rooms, ranks = Rooms(tiny.LAYERS), [process(1, 0)]
    assert most(rooms, ranks) == [6, 6]
    rooms.limit(OWN, 2, 0.0)
    rooms.limit(ranks[0].place, 3, 0.0)
    assert rooms.lack(ranks, 1.0) == "the memory that is left holds 5 of 6 blocks"


class Live:
    """An engine over real processes, with a stream that is fed."""

    def __init__(self, engine: CrewEngine, lanes: PipelineLanes) -> None:
        self.engine = engine
        stream = engine.open_stream(settings_of(steps=1, steadiness=0.0), 32, 48)
        self._stream = OverlappedStream(stream, lanes)
        self._chunks = clip(4)
        self._pushed = 0

    def paints(self) -> bool:
        """Push a chunk; whether one came out."""
        self._stream.push(self._chunks[self._pushed % 4])
        self._pushed += 1
        try:
            return bool(self._stream.drain())
        except PipelineError:
            return False

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Feed it until it holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end_s, f"{what}: {self.engine.news}; {self.engine.watch.mover.split}"
            self.paints()
            time.sleep(0.01)

    @property
    def counts(self) -> list[int]:
        """Blocks of each rank."""
        return counts_of(self.engine.watch.mover.split)

    def pid(self, rank: int) -> int:
        """The process of a rank."""
        formation = self.engine.formation
        assert formation is not None
        return formation.ranks[rank - 1].hello.pid


@contextmanager
def live(folder: Path, own: int, *others: int) -> Iterator[Live]:
    """The tiny model over ranks whose cards hold so many blocks."""
    weights = weights_of(random_weights(tiny_of(tiny.LAYERS)), folder)
    sockets = Path(tempfile.mkdtemp(prefix="limner-t-", dir="/tmp"))
    memory = {str(seat): [free_for(seat, held)] * 2 for seat, held in enumerate(others, 1)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMNER_TEST_ENGINES", "1")
        patch.setenv("LIMNER_TEST_RANK_MEMORY", json.dumps(memory))
        patch.setenv(tiny.FOLDER, str(folder))
        patch.setenv("PYTHONPATH", str(Path.cwd()), prepend=os.pathsep)
        config = CrewConfig(
            endpoint=f"ipc://{sockets}/ranks.sock",
            engine=tiny.ENGINE,
            devices=["cpu"] * len(others),
            threads=1,
        )
        crew = Crew(config)
        engine = CrewEngine(
            tiny_of(tiny.LAYERS),
            weights,
            crew=crew,
            rooms=rooms_with(own),
            address="127.0.0.1",
            dtype=torch.float32,
            threads=1,
        )
        try:
            engine.begin(len(others), PATIENCE_S)
            with CrewLanes(engine) as lanes:
                yield Live(engine, lanes)
                engine.give_up()
        finally:
            engine.close()
            left = limner_processes(sockets)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(sockets)
    assert not left, f"ranks were left behind: {left}"


@pytest.mark.slow
def test_a_card_that_is_lost_and_cannot_be_done_without_is_waited_for(tmp_path: Path) -> None:
    with live(tmp_path, 2, 3, 2) as made:
        made.until(made.paints, "painting")
        assert all(count <= room for count, room in zip(made.counts, (2, 3, 2), strict=True))
        lost = made.pid(2)
        os.kill(lost, signal.SIGKILL)
        made.until(lambda: made.engine.lack, "the lack of memory")
        assert made.engine.ranks_now().waits.startswith(
            "Painting cannot go on until more memory is there: tiny"
        )
        with pytest.raises(PipelineError, match="cannot go on"):
            _ = made.engine.ring
        assert made.engine.fatal is None
        made.until(lambda: not made.engine.lack, "the return of the card")
        made.until(made.paints, "painting")
        assert made.pid(2) != lost


@pytest.mark.slow
def test_a_card_whose_memory_is_full_gets_fewer_blocks(tmp_path: Path) -> None:
    with live(tmp_path, 6, 6) as made:
        made.until(made.paints, "painting")
        assert made.counts == [3, 3]
        process = made.pid(1)
        (tmp_path / "full-1").write_text("2")
        made.until(lambda: made.counts == [4, 2] and made.paints(), "painting with fewer blocks there")
        assert made.engine.watch.costs[1].most_blocks == 2
        assert made.pid(1) == process, "it went on, with what it had loaded"


@pytest.mark.slow
def test_who_joins_loads_its_blocks_while_others_paint(tmp_path: Path) -> None:
    with live(tmp_path, 6, 6) as made:
        made.until(made.paints, "painting")
        lost = made.pid(1)
        os.kill(lost, signal.SIGKILL)
        made.until(lambda: len(made.counts) == 1 and made.paints(), "painting alone")
        made.until(lambda: len(made.counts) == 2 and made.paints(), "painting with the one that returned")
        lines = [line.split() for line in (tmp_path / tiny.LOADS).read_text().splitlines()]
        asked = [(when, int(lacking)) for pid, when, lacking in lines if pid == str(made.pid(1))]
        assert [when for when, _ in asked] == ["ahead", "held"]
        assert asked[0][1] > 0
        assert asked[1][1] == 0, "it loaded while all waited"
        assert [when for pid, when, _ in lines if pid == str(lost)] == ["held"]
