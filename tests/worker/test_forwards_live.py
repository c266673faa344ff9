"""Sessions of a real engine on a real loop, faster than it can paint each alone: they share its forwards."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator

import msgspec
import pytest
from tests.benchmarks.streams_shared import weight_bound
from tests.engine.tiny import random_weights
from tests.worker.sessions import open_message, outputs

from limner.daemon.session import SegmentPair
from limner.daemon.sizes import POCKET
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Close, Failed, Give, Open, Return, Update
from limner.engine.denoiser import Denoiser
from limner.engine.dit.together import Work
from limner.engine.engine import Engine
from limner.engine.types import CleanChunk, NoisedChunk
from limner.worker.desk import Desk
from limner.worker.loop import Loop
from limner.worker.model_engine import TorchPaintEngine
from limner.worker.stats import Stats

MakeSegments = Callable[..., SegmentPair]
SIDE, FPS = 64, 120.0
PATIENCE_S = 60.0
BROKEN, FRAMES = 666, 100


@pytest.fixture(scope="module")
def engine() -> Iterator[TorchPaintEngine]:
    """Its forward is reading weights: even two such cameras are more than it paints one by one."""
    config = weight_bound()
    engine = TorchPaintEngine(Engine(config, random_weights(config)), threads=2)
    engine.warm_up(SIDE, SIDE, 1)  # Its threads are there before the first test is.
    yield engine
    engine.close()


class Cameras:
    """Feeds a desk from a thread of its own, and gives every slot back."""

    def __init__(self, desk: Desk, openings: list[Open]) -> None:
        self._desk = desk
        self.openings = openings
        self._free = {one.session: deque(range(one.input.slots)) for one in openings}
        self.painted: Counter[str] = Counter()
        self.failed: list[Failed] = []
        self.number = 0
        for one in openings:
            for message in (one, *outputs(one)):
                desk.put(message)

    def sent(self, message: Message) -> None:
        """What the loop has to say."""
        match message:
            case Return():
                self._free[message.session].append(message.slot)
            case Give():
                self.painted[message.session] += 1
                self._desk.put(
                    Return(session=message.session, generation=message.generation, slot=message.slot)
                )
            case Failed():
                self.failed.append(message)

    def run(self, until: Callable[[], bool]) -> None:
        """Frames for everybody, at the rate of the cameras, until that; then the loop ends."""
        ends_s = time.monotonic() + PATIENCE_S
        while not until() and time.monotonic() < ends_s:
            for one in self.openings:
                self._feed(one)
            self.number += 1
            time.sleep(1 / FPS)
        self._desk.stop()

    def _feed(self, one: Open) -> None:
        if not self._free[one.session]:
            return
        slot = self._free[one.session].popleft()
        frame = Give(
            session=one.session,
            generation=one.generation,
            slot=slot,
            sequence=self.number,
            pts_ns=time.monotonic_ns(),
        )
        for surplus in self._desk.put(frame):
            self._free[one.session].append(surplus.slot)


def cameras_of(desk: Desk, make_segments: MakeSegments, *sessions: str) -> Cameras:
    made = []
    for generation, session in enumerate(sessions, 1):
        segments = make_segments(SIDE, SIDE, generation, POCKET)
        asked = open_message(segments, session, prompt="oil", adapt=False, latency_ms=5000)
        made.append(msgspec.structs.replace(asked, fps=FPS))
    return Cameras(desk, made)


def together(stats: Stats) -> list[int]:
    return [plan.together for plan in stats.report().plans.values()]


def painted_by(
    engine: TorchPaintEngine, desk: Desk, stats: Stats, cameras: Cameras, until: Callable[[], bool]
) -> None:
    desk.frames_per_chunk = engine.frames_per_chunk
    feeding = threading.Thread(target=cameras.run, args=(until,))
    feeding.start()
    Loop(engine=engine, desk=desk, stats=stats, send=cameras.sent).run()
    feeding.join()


@pytest.mark.parametrize("sessions", [("one", "two"), ("one", "two", "three")])
def test_sessions_that_do_not_keep_up_share_forwards(
    engine: TorchPaintEngine, make_segments: MakeSegments, sessions: tuple[str, ...]
) -> None:
    desk, stats = Desk(), Stats()
    cameras = cameras_of(desk, make_segments, *sessions)
    seen: list[int] = []

    def shared() -> bool:
        seen[:] = together(stats)
        enough = min(cameras.painted[session] for session in sessions) >= FRAMES
        return enough and len(seen) == len(sessions) and min(seen) >= 2

    painted_by(engine, desk, stats, cameras, shared)
    assert min(seen) >= 2
    assert cameras.failed == []
    # Fair: whoever waits longest is in the next forward.
    counts = [cameras.painted[session] for session in sessions]
    assert min(counts) >= 0.8 * max(counts)


def test_one_session_goes_alone_after_the_other_has_left(
    engine: TorchPaintEngine, make_segments: MakeSegments
) -> None:
    desk, stats = Desk(), Stats()
    cameras = cameras_of(desk, make_segments, "stays", "leaves")
    left = threading.Event()
    shared: list[int] = []

    def alone() -> bool:
        shared[:] = together(stats)
        if len(shared) == 2 and min(shared) >= 2 and not left.is_set():
            left.set()
            cameras.openings = cameras.openings[:1]
            desk.put(Close(session="leaves"))
        return left.is_set() and shared == [1]

    painted_by(engine, desk, stats, cameras, alone)
    assert left.is_set()
    assert shared == [1]
    assert cameras.failed == []


def test_a_session_that_fails_takes_nobody_with_it(
    engine: TorchPaintEngine, make_segments: MakeSegments, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, stats = Desk(), Stats()
    cameras = cameras_of(desk, make_segments, "good", "bad")
    after: list[int] = []

    def failed() -> bool:
        if min(together(stats), default=1) >= 2 and not cameras.failed:
            # Nothing that the engine knows: only this session's painting ends.
            broken = cameras.openings[1].settings
            desk.put(Update(session="bad", rev=2, settings=msgspec.structs.replace(broken, seed=BROKEN)))
        if cameras.failed:
            after.append(cameras.painted["good"])
        return bool(after) and cameras.painted["good"] >= after[0] + 40

    plain = Denoiser._push

    def checked(self: Denoiser, chunk: NoisedChunk) -> Work[list[CleanChunk]]:
        if chunk.seed == BROKEN:
            raise RuntimeError("a broken stream")
        return (yield from plain(self, chunk))

    monkeypatch.setattr(Denoiser, "_push", checked)
    painted_by(engine, desk, stats, cameras, failed)
    assert [one.session for one in cameras.failed] == ["bad"]
    assert cameras.painted["good"] >= after[0] + 40
