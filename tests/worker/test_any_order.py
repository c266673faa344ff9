"""Whatever comes in whatever order: no frame is lost, doubled or out of order, and no slot has two owners."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.engine.tiny import tiny_engine
from tests.worker.sessions import open_message

from limner.daemon.protocol import PromptShare, Settings
from limner.daemon.session import SegmentPair
from limner.daemon.sizes import POCKET
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Close, Done, Failed, Give, Return, Update
from limner.worker.desk import Desk
from limner.worker.loop import GAP_NS, Loop
from limner.worker.model_engine import TorchPaintEngine
from limner.worker.stats import Stats

MakeSegments = Callable[..., SegmentPair]
PATIENCE_S = 20.0
FRAME_NS = 33_000_000
MOVES = 80


class Client:
    """Daemon and client of one session: their books of slots and frames."""

    def __init__(self, segments: SegmentPair, name: str, rev: int, settings: dict[str, Any]) -> None:
        self.opening = open_message(segments, name, rev, **settings)
        self.free = list(range(segments.input.slots))
        self.lent: dict[int, int] = {}
        """Number of the frame in each input slot that the worker has."""
        self.to_paint: set[int] = set()
        self.dropped: set[int] = set()
        self.worker_outputs = set(range(segments.output.slots))
        self.painted: list[int] = []
        self.revs: list[int] = []

    def back(self, message: Return | Give, *, dropped: bool) -> None:
        number = self.lent.pop(message.slot)
        self.free.append(message.slot)
        (self.dropped if dropped else self.to_paint).add(number)


class Evening:
    """Sessions that come and go, with a loop of the real engine; `wrong` says what must not have happened."""

    def __init__(self, engine: TorchPaintEngine, make_segments: MakeSegments, seed: int) -> None:
        self.make_segments, self.random = make_segments, random.Random(seed)
        self.clients: dict[str, Client] = {}
        self.wrong: list[object] = []
        self.rev = self.number = self.generation = 0
        self.now_ns = 10**12
        self.news = threading.Condition()
        self.desk, self.stats = Desk(), Stats()
        self.desk.frames_per_chunk = engine.frames_per_chunk
        loop = Loop(engine=engine, desk=self.desk, stats=self.stats, send=self.heard)
        self.thread = threading.Thread(target=loop.run)
        self.thread.start()

    # ---- what the worker says, on its thread

    def heard(self, message: Message) -> None:
        with self.news:
            try:
                self.note(message)
            except (KeyError, AssertionError) as error:
                self.wrong.append((message, error))
            self.news.notify_all()

    def note(self, message: Message) -> None:
        client = self.clients.get(getattr(message, "session", ""))
        if client is None or getattr(message, "generation", client.opening.generation) != (
            client.opening.generation
        ):
            return  # Of a session that is closed.
        match message:
            case Give():
                client.worker_outputs.remove(message.slot)
                client.painted.append(message.sequence)
                self.show(client, message.slot)
            case Return():
                client.back(message, dropped=message.dropped)
            case Done():
                client.revs.append(message.rev)
            case Failed():
                self.wrong.append(message)

    def show(self, client: Client, slot: int) -> None:
        client.worker_outputs.add(slot)
        opening = client.opening
        self.desk.put(Return(session=opening.session, generation=opening.generation, slot=slot))

    # ---- what happens

    def settings(self) -> dict[str, Any]:
        choose = self.random.choice
        return {
            "prompt": choose(["oil", "neon", "warm oil", "word that nobody knows", ""]),
            "mix": choose([[], [PromptShare(prompt="oil", weight=2.0), PromptShare(prompt="neon")]]),
            "transition_ms": choose([0, 300, 5000]),
            "recache": choose([False, True]),
            "strength": choose([0.0, 0.3, 1.0]),
            "steps": choose([1, 2, 3, 4]),
            "mode": choose(["auto", "throughput", "latency"]),
            "chunk": choose([0, 1, 2, 3]),
            "latency_ms": choose([100, 600, 10_000]),
            "adapt": choose([False, True]),
            "motion_window": choose([1, 8, 240]),
            "cuts": choose([False, True]),
        }

    def open(self, name: str) -> None:
        self.rev, self.generation = self.rev + 1, self.generation + 1
        segments = self.make_segments(48, 32, generation=self.generation, traits=POCKET)
        client = Client(segments, name, self.rev, self.settings())
        with self.news:
            self.clients[name] = client
            self.desk.put(client.opening)
            for slot in client.worker_outputs:
                self.desk.put(Return(session=name, generation=self.generation, slot=slot))

    def close(self, name: str) -> None:
        with self.news:
            # With nothing lent, so that what it gave is in its books.
            assert self.news.wait_for(lambda: not self.clients[name].lent, PATIENCE_S)
            del self.clients[name]
            self.desk.put(Close(session=name))

    def feed(self, client: Client) -> None:
        """A frame, if there is a slot for it."""
        with self.news:
            if not client.free:
                return
            slot = client.free.pop(0)
            self.number, self.now_ns = self.number + 1, self.now_ns + FRAME_NS
            client.lent[slot] = self.number
            opening = client.opening
            frame = Give(
                session=opening.session,
                generation=opening.generation,
                slot=slot,
                sequence=self.number,
                pts_ns=self.now_ns,
            )
            for surplus in self.desk.put(frame):
                client.back(surplus, dropped=True)

    def move(self) -> None:
        """Anything."""
        client = self.random.choice(list(self.clients.values()))
        name, what = client.opening.session, self.random.random()
        if what < 0.6:
            for _ in range(self.random.randint(1, 20)):
                self.feed(client)
        elif what < 0.7:
            time.sleep(0.02)
        elif what < 0.8:
            self.rev += 1
            settings = Settings(**self.settings())
            self.desk.put(Update(session=name, rev=self.rev, settings=settings))
        elif what < 0.87:
            # While the last chunks are still inside.
            for jump_ns in (0, self.random.choice([GAP_NS, -GAP_NS])):
                self.now_ns += jump_ns
                for _ in range(8):
                    self.feed(client)
                time.sleep(0.005)
        elif what < 0.9:
            time.sleep(0.2)  # Longer than the intake's patience: the painter is flushed.
        elif what < 0.95:
            self.close(name)
            self.open(name)
        elif len(self.clients) < 2:
            self.open("game")

    def all_is_settled(self) -> bool:
        return all(
            not client.lent and client.to_paint <= set(client.painted) for client in self.clients.values()
        )


@pytest.fixture
def engine() -> Iterator[TorchPaintEngine]:
    engine = TorchPaintEngine(tiny_engine(), 2)
    yield engine
    engine.close()


@pytest.mark.parametrize("seed", range(3))
def test_no_frame_is_lost_or_doubled(
    engine: TorchPaintEngine, make_segments: MakeSegments, seed: int
) -> None:
    evening = Evening(engine, make_segments, seed)
    try:
        evening.open("camera")
        for _ in range(MOVES):
            evening.move()
        with evening.news:
            assert evening.news.wait_for(evening.all_is_settled, PATIENCE_S)
    finally:
        evening.desk.stop()
        evening.thread.join(PATIENCE_S)
    assert not evening.thread.is_alive()
    assert evening.wrong == []
    assert sum(len(client.painted) for client in evening.clients.values()) > 0
    for client in evening.clients.values():
        assert client.painted == sorted(client.to_paint)
        assert client.revs == sorted(set(client.revs))
