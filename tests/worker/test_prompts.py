"""Prompts on their way to the text encoder: those that are likely, and what is said while one is missing."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.engine.wan.texts import PATIENCE_S, SlowEncoders, slow_engine
from tests.worker.fakes import FakeEngine
from tests.worker.sessions import give, open_message, outputs, run_loop
from torch import Tensor

from limner.daemon.protocol import PromptShare, Settings
from limner.daemon.session import SegmentPair
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Done, Give, Open, Opened, Prepare, Report, Return, Update
from limner.engine.dit.model import CausalDiT
from limner.engine.engine import Engine
from limner.worker.desk import Desk
from limner.worker.loop import Loop
from limner.worker.model_engine import TorchPaintEngine
from limner.worker.stats import Stats

SIDE = 96
MakeSegments = Callable[..., SegmentPair]


@pytest.fixture
def encoders() -> SlowEncoders:
    return SlowEncoders()


@pytest.fixture
def inner(encoders: SlowEncoders) -> Engine:
    return slow_engine(encoders)


@pytest.fixture
def engine(inner: Engine, encoders: SlowEncoders) -> Iterator[TorchPaintEngine]:
    engine = TorchPaintEngine(inner, threads=2)
    yield engine
    encoders.let(100)
    engine.close()


def done(sent: list[Message]) -> Done | None:
    return next((message for message in sent if isinstance(message, Done)), None)


def painted(engine: TorchPaintEngine, segments: SegmentPair, prompt: str) -> Done:
    opening = open_message(segments, prompt=prompt)
    frames = [give(opening, slot, slot) for slot in range(4)]
    said = done(run_loop(engine, [opening, *outputs(opening), *frames], lambda sent: done(sent) is not None))
    assert said is not None
    return said


def test_a_change_is_not_in_the_picture_before_its_prompt_is(
    engine: TorchPaintEngine, inner: Engine, encoders: SlowEncoders, make_segments: MakeSegments
) -> None:
    segments, desk, stats, sent = make_segments(SIDE, SIDE), Desk(), Stats(), list[Message]()
    desk.frames_per_chunk = engine.frames_per_chunk
    opening = open_message(segments, prompt="oil")
    frames = iter([give(opening, number % 4, number) for number in range(16)])

    def go_on(message: Message) -> None:
        """Four frames at a time; the encoder is let when the first four came back."""
        sent.append(message)
        shown = sum(isinstance(one, Give) for one in sent)
        if isinstance(message, Give):
            desk.put(Return(session="camera", generation=opening.generation, slot=message.slot))
        if isinstance(message, Give) and shown == 4:
            said.append(stats.report().notes["camera"])
            asked = inner.text.ask("oil")
            encoders.let()
            asked.result(PATIENCE_S)
        if isinstance(message, Give) and shown % 4 == 0 and shown < 16:
            for frame in itertools.islice(frames, 4):
                desk.put(frame)
        if isinstance(message, Done):
            desk.stop()

    said: list[str] = []
    for first in (opening, *outputs(opening), *itertools.islice(frames, 4)):
        desk.put(first)
    Loop(engine=engine, desk=desk, stats=stats, send=go_on).run()
    assert len(said) == 1 and said[0].startswith("waiting for the text encoder")
    finished = sent[-1]
    assert isinstance(finished, Done) and (finished.note, finished.chunk) == ("", 1)


def test_likely_prompts_are_encoded_unasked(
    engine: TorchPaintEngine, inner: Engine, encoders: SlowEncoders, make_segments: MakeSegments
) -> None:
    fake = FakeEngine()
    opening = open_message(make_segments())
    frames = [give(opening, slot, slot) for slot in range(4)]
    likely = Prepare(prompts=["oil", "neon"])
    run_loop(fake, [likely, opening, *outputs(opening), *frames], lambda sent: done(sent) is not None)
    assert fake.prepared == ["oil", "neon"]
    engine.prepare(fake.prepared)
    last = inner.text.ask("fog")
    # Once more, if one of the others was begun: it makes way.
    encoders.let(4)
    last.result(PATIENCE_S)
    segments = make_segments(SIDE, SIDE)
    assert painted(engine, segments, "fog").note == ""
    for prepared in inner.text.prepare(["oil", "neon"]):
        prepared.result(PATIENCE_S)
    assert sorted(encoders.encoded) == ["fog", "neon", "oil"]


def test_warming_up_paints_and_asks_for_no_encoder(
    monkeypatch: pytest.MonkeyPatch, engine: TorchPaintEngine, inner: Engine, encoders: SlowEncoders
) -> None:
    forwards: list[None] = []
    forward = CausalDiT.denoise

    def counted(*given: Any) -> Tensor:
        forwards.append(None)
        return forward(*given)

    monkeypatch.setattr(CausalDiT, "denoise", counted)
    engine.warm_up(32, 48, chunks=2)
    assert len(forwards) == 2
    inner.warm_up(32, 48)
    assert len(forwards) > 2 and encoders.loads == 0


class SlowReader(FakeEngine):
    """Knows a prompt when it was asked about it so often."""

    def __init__(self, desk: Desk, looks: dict[str, int]) -> None:
        super().__init__()
        self.desk, self.looks, self.asked = desk, looks, list[str]()
        self.at_ask: Callable[[str], None] = lambda _: None

    def ask(self, settings: Settings, then: Callable[[], None]) -> Callable[[], bool]:
        self.asked.append(settings.prompt)
        self.at_ask(settings.prompt)

        def is_there() -> bool:
            self.looks[settings.prompt] -= 1
            if self.looks[settings.prompt] > 0:
                then()
            return self.looks[settings.prompt] == 0

        return is_there


def opened(engine: SlowReader, desk: Desk, opening: Open) -> Report:
    """Run the loop until the session is opened; what was said of it before."""
    stats, before = Stats(), list[Report]()
    look = desk.look

    def send(message: Message) -> None:
        assert message == Opened(session="camera")
        desk.stop()

    def looked(session: str) -> None:
        before.append(stats.report())
        look(session)

    desk.put(opening)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk, "look", looked)
        Loop(engine=engine, desk=desk, stats=stats, send=send).run()
    return before[-1] if before else stats.report()


def test_a_session_begins_when_its_prompt_is_read(make_segments: MakeSegments) -> None:
    """Until then OBS shows the source itself, and a clip is not sent."""
    desk = Desk()
    engine = SlowReader(desk, {"slow": 3})
    said = opened(engine, desk, open_message(make_segments(), prompt="slow"))
    assert engine.asked == ["slow"] and engine.looks == {"slow": 0}
    assert said.notes == {"camera": "waiting for the text encoder to read the prompt"}


def test_a_session_that_waits_begins_at_once_with_a_prompt_that_is_known(make_segments: MakeSegments) -> None:
    desk, opening = Desk(), open_message(make_segments(), prompt="never")
    engine = SlowReader(desk, {"never": 0, "known": 1})

    def change_mind(prompt: str) -> None:
        if prompt == "never":
            desk.wait("camera", opening.generation, waits=True)
            desk.put(Update(session="camera", rev=2, settings=Settings(prompt="known")))

    engine.at_ask = change_mind
    opened(engine, desk, opening)
    assert engine.asked == ["never", "known"]


def test_prompts_of_a_mix_are_asked_for_and_a_fault_is_an_answer(
    engine: TorchPaintEngine, inner: Engine, encoders: SlowEncoders
) -> None:
    told = threading.Semaphore(0)
    mix = [PromptShare(prompt="oil"), PromptShare(prompt="neon")]
    is_there = engine.ask(Settings(mix=mix), told.release)
    assert not is_there()
    encoders.fault = MemoryError()
    encoders.let(2)
    for _ in mix:
        assert told.acquire(timeout=PATIENCE_S)
    assert is_there()
    assert engine.ask(Settings(prompt=inner.text.stand_in), told.release)()
