"""Prompts on their way to the text encoder: those that are likely, and what is said while one is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.engine.wan.texts import PATIENCE_S, SlowEncoders, slow_engine
from tests.worker.fakes import FakeEngine
from tests.worker.sessions import give, open_message, outputs, run_loop
from torch import Tensor

from limner.daemon.session import SegmentPair
from limner.daemon.wire import Message
from limner.daemon.worker_protocol import Done, Prepare
from limner.engine.dit.model import CausalDiT
from limner.engine.engine import Engine
from limner.worker.model_engine import TorchPaintEngine

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


def test_a_session_says_that_it_waits_for_its_prompt_and_no_more_when_it_has_it(
    engine: TorchPaintEngine, inner: Engine, encoders: SlowEncoders, make_segments: MakeSegments
) -> None:
    segments = make_segments(SIDE, SIDE)
    note = painted(engine, segments, "oil").note
    assert note == "waiting for the text encoder: the source is shown until it has read the prompt"
    asked = inner.text.ask("oil")
    encoders.let()
    asked.result(PATIENCE_S)
    assert painted(engine, segments, "oil").note == ""


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
    encoders.let(3)
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
