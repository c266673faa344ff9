"""Between the daemon's words and the engine's: settings on the way in, notes and faults on the way out."""
# ruff: noqa: PLC0415  (torch loads under a progress report)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from limner.daemon.protocol import Settings
from limner.engine.slo_plan import Plan
from limner.worker.engines import FatalEngineError

if TYPE_CHECKING:
    from limner.engine.types import StreamSettings

NO_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
"""How torch, Triton, and NVIDIA's libraries behind them say it."""


def note_of(text_note: str, lora_note: str, unknown: Sequence[str]) -> str:
    """Return what is to be said of the look; the unknown words are of the prompt that is painted."""
    words = f"words that the model does not know: {', '.join(unknown)}" if unknown else ""
    return text_note or lora_note or words


def for_engine(settings: Settings, rev: int, fps: float, plan: Plan) -> StreamSettings:
    """Return what a session asks for in the engine's terms. Times become frames of those that are painted."""
    from limner.engine.types import MOST_TRANSITION_FRAMES, PromptShare, StreamSettings

    frames = round(settings.transition_ms / 1000 * fps / plan.frame_step)
    return StreamSettings(
        prompt=settings.prompt,
        mix=tuple(PromptShare(prompt=share.prompt, weight=share.weight) for share in settings.mix),
        transition_frames=min(MOST_TRANSITION_FRAMES, frames),
        recache=settings.recache,
        strength=settings.strength,
        steps=plan.steps,
        stream_batch=plan.stream_batch,
        chunk_latents=plan.chunk_latents,
        size=plan.size,
        seed=settings.seed,
        motion_aware=settings.motion_aware,
        motion_window=settings.motion_window,
        motion_smoothing=settings.motion_smoothing,
        motion_low=settings.motion_low,
        motion_high=settings.motion_high,
        motion_hysteresis=settings.motion_hysteresis,
        steadiness=settings.steadiness,
        cuts=settings.cuts,
        revision=rev,
    )


def fault_named(text: str) -> MemoryError | FatalEngineError | None:
    """Return the fault that torch's words stand for; None: any other."""
    if any(words in text for words in NO_MEMORY):
        return MemoryError(text.splitlines()[0])
    if "CUDA error" in text:
        return FatalEngineError(text.splitlines()[0])
    return None


@contextmanager
def memory_errors_named() -> Iterator[None]:
    """Torch says "not enough memory" in many ways, and a broken device stays broken."""
    try:
        yield
    except RuntimeError as error:
        if (named := fault_named(str(error))) is not None:
            raise named from error
        raise
