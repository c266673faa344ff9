"""Engines for tests, put into a real worker by name ("tests.worker.fakes:fake") or driven by a loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from limner.daemon.protocol import Settings
from limner.daemon.worker_protocol import Open
from limner.engine.slo_plan import Plan
from limner.worker.engines import (
    Abilities,
    AtOnce,
    FatalEngineError,
    Painted,
    PaintEngine,
    PaintStream,
    Pixels,
    always,
)
from limner.worker.model_engine import TorchPaintEngine
from limner.worker.model_loading import config_of, load


class FakeStream(AtOnce):
    """Paints the value `seed` into every frame; what the prompt says happens."""

    frames_per_chunk = 4

    def __init__(self, settings: Settings, rev: int) -> None:
        super().__init__()
        self.settings, self.rev = settings, rev
        self.chunk = -1

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        self.chunk += 1
        taken()
        match self.settings.prompt:
            case "raise":
                raise RuntimeError("this prompt cannot be painted")
            case "die":
                os.abort()
            case "fatal":
                raise FatalEngineError("the device is broken")
            case "no memory":
                raise MemoryError
            case "hang":
                time.sleep(3600)
            case "slow":
                time.sleep(0.2)
        value = self.settings.seed % 256
        return Painted(self.chunk, self.rev, lambda _, slot_HW4: slot_HW4.fill(value))

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        self.settings, self.rev = settings, rev

    def reset(self) -> None:
        self.chunk = -1


class FakeEngine:
    model = "fake"
    device = "CPU"
    frames_per_chunk = 4
    abilities: Abilities | None = None
    is_closed = False

    def __init__(self) -> None:
        self.prepared: list[str] = []

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        if opening.settings.prompt == "no stream":
            raise ValueError(f"{opening.width}×{opening.height} does not fit")
        return FakeStream(opening.settings, opening.rev)

    def prepare(self, prompts: Sequence[str]) -> None:
        self.prepared += prompts

    def lock_pages(self, memory: memoryview) -> Callable[[], None]:
        return lambda: None

    def ask(self, settings: Settings, then: Callable[[], None]) -> Callable[[], bool]:
        return always

    def free_memory(self) -> bool:
        return False

    def close(self) -> None:
        self.is_closed = True


def fake() -> PaintEngine:
    return FakeEngine()


def too_large() -> PaintEngine:
    raise MemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def unloadable() -> PaintEngine:
    raise RuntimeError("the weights are not there")


def random_pocket() -> TorchPaintEngine:
    """The real engine with random weights."""
    from limner.engine.model import Model
    from limner.worker.model_source import POCKET, find_model

    source = find_model(POCKET)
    weights = Model(config_of(source)).state_dict()
    return load(source, threads=2, device="cpu", progress=lambda *_: None, weights=weights)


class NarrowStream(FakeStream):
    """Paints what `FakeStream` does, and has no memory for more than one step."""

    def __init__(self, opening: Open, plan: Plan) -> None:
        super().__init__(opening.settings, opening.rev)
        self.plan = plan

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        if self.plan.steps > 1:
            raise MemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().push(frames, taken)

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        assert plan is not None
        super().update(settings, rev, plan)
        self.plan = plan


class NarrowEngine(FakeEngine):
    abilities = Abilities(sizes=((320, 176),))

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        assert plan is not None
        return NarrowStream(opening, plan)


def narrow() -> PaintEngine:
    return NarrowEngine()
