"""What paints. The loop knows only these two protocols; an engine is chosen by name."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from limner.daemon.protocol import Settings
from limner.daemon.rank_options import RankOptions
from limner.daemon.sizes import TEST_ENGINES_VARIABLE
from limner.daemon.worker_protocol import Open
from limner.engine.slo_cost import Profile
from limner.engine.slo_plan import Plan, Size
from limner.models.plan_choice import Wishes
from limner.models.plan_seen import VISIBLE
from limner.worker.card import see_only
from limner.worker.memory import MemoryCaps
from limner.worker.model_source import POCKET, find_model

Pixels = NDArray[np.uint8]
"""frame_HW4: RGBA, a view of a slot in shared memory."""
Progress = Callable[[float, str], None]
ECHO = "echo"


class FatalEngineError(Exception):
    """The process cannot go on (out of memory, a broken device): it must end and be started again."""


@dataclass(frozen=True)
class Painted:
    """Chunks that came out. `write(i, frame_HW4)` puts the i-th frame of all of them into a slot."""

    chunk: int
    """Count of the push that the first chunk went in with, from 0 since the stream was opened or reset."""
    rev: int
    """Revision of the settings that are in the picture."""
    write: Callable[[int, Pixels], None]
    chunks: int = 1
    """How many chunks in a row these are."""
    stages_ms: dict[str, float] = field(default_factory=dict)
    """Of the push that brought them: encode, noise, denoise, decode; none: not known. Where chunks overlap,
    `other` too: the time to take the frames in."""
    strength: float | None = None
    """That the last of the chunks began with, 0..1; None: the engine has no such thing."""
    note: str = ""
    waits: bool = False
    """The prompt that is asked for is not read yet: the revision is not in the picture as a whole."""
    together: int = 1
    """Streams whose chunks were denoised with this one, itself included: that time is of all of them."""
    is_blank: bool = False
    """One colour all over, although the source has something to see: not to be shown."""
    is_cut: bool = False
    """A new scene begins with the first of the chunks: nothing of them shows the one before."""


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """In what ways an engine can paint; the plan chooses."""

    sizes: tuple[Size, ...]
    """Working sizes that it is at home in, (width, height)."""
    default_chunk: int = 1
    """Latent frames of a chunk, as it was made for."""
    most_chunk: int = 1
    """Latent frames of the longest chunk."""
    profile: Profile = field(default_factory=Profile)
    """What its stages cost, as far as is known."""
    frames_behind: int = 0
    """Frames by which what is painted is older than what it was made of."""
    caps: MemoryCaps = field(default_factory=MemoryCaps)
    """The most that memory allows a stream, as planned."""
    most_together: int = 1
    """Streams that can share a forward; above 1 the engine is one that `SharesForwards`."""


class PaintStream(Protocol):
    """One session's picture. What a push paints comes back at once, or, where chunks overlap, later."""

    on_painted: Callable[[], None]
    """Called, on any thread, when there is something to collect."""

    @property
    def frames_per_chunk(self) -> int:
        """Frames that the next push takes; `update` may change it."""

    @property
    def is_full(self) -> bool:
        """A push would wait until something is collected."""

    @property
    def is_working(self) -> bool:
        """Something will be there to collect."""

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        """Take one chunk of frames and paint.

        Call `taken` as soon as the frames are copied: their slots go back then, else when all is written.
        """

    def collect(self) -> list[Painted]:
        """Return what was painted since, oldest first."""

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        """Use these settings, as far as the plan goes, from the next push on."""

    def flush(self) -> list[Painted]:
        """Finish the chunks that are still inside and return them; more may follow."""

    def reset(self) -> None:
        """Forget the past: another picture follows."""


class PaintEngine(Protocol):
    """A loaded model."""

    model: str
    device: str
    frames_per_chunk: int

    @property
    def abilities(self) -> Abilities | None:
        """None: it paints in one way only, and is given no plan."""

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        """Make a stream for a session; raises ValueError where its size does not fit the model."""

    def prepare(self, prompts: Sequence[str]) -> None:
        """Be ready for these prompts, in this order, when there is nothing better to do. Never waits."""

    def lock_pages(self, memory: memoryview) -> Callable[[], None]:
        """Let the device read this memory by itself, where it can; what is returned ends that."""

    def ask(self, settings: Settings, then: Callable[[], None]) -> Callable[[], bool]:
        """Be ready for the prompts of these settings, soon. Never waits.

        Returns what says whether it is so, or never will be; if not, `then` is called, on any thread, when it
        may be.
        """

    def free_memory(self) -> bool:
        """Give back to the device what no stream holds; whether that was so much that more may fit now."""

    def close(self) -> None:
        """End what it started."""


@runtime_checkable
class SharesForwards(Protocol):
    """An engine whose streams can share forwards."""

    def share(self, most: int) -> bool:
        """Let chunks of so many streams that wait anyway go together, 1: none; False: they cannot."""


def never(_: int) -> bool:
    """`SharesForwards.share` of who cannot."""
    return False


class AtOnce:
    """The part of a `PaintStream` that has nothing to do where each push returns what it painted."""

    is_full = is_working = False

    def __init__(self) -> None:
        self.on_painted: Callable[[], None] = lambda: None

    def collect(self) -> list[Painted]:
        """Return nothing: all is there already."""
        return []

    def flush(self) -> list[Painted]:
        """Return nothing: nothing stays inside."""
        return []


class _EchoStream(AtOnce):
    """Gives back what it gets, to measure everything but the painting."""

    frames_per_chunk = 1

    def __init__(self, rev: int) -> None:
        super().__init__()
        self._rev = rev
        self._chunk = -1

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        self._chunk += 1
        # From slot to slot: the frame is not taken before it is written.
        return Painted(self._chunk, self._rev, lambda i, slot_HW4: np.copyto(slot_HW4, frames[i]))

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        self._rev = rev

    def reset(self) -> None:
        self._chunk = -1


def always() -> bool:
    """What an engine answers that is ready for every prompt."""
    return True


class EchoEngine:
    """No model at all, no torch: the bridge alone."""

    model = ECHO
    device = "CPU"
    frames_per_chunk = 1
    abilities = None

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        """Make a stream that echoes."""
        return _EchoStream(opening.rev)

    def prepare(self, prompts: Sequence[str]) -> None:
        """Nothing to prepare: no prompt is read."""

    def ask(self, settings: Settings, then: Callable[[], None]) -> Callable[[], bool]:
        """Nothing to wait for."""
        return always

    def lock_pages(self, memory: memoryview) -> Callable[[], None]:
        """No device reads it."""
        return lambda: None

    def free_memory(self) -> bool:
        """Nothing is held."""
        return False

    def close(self) -> None:
        """Nothing was started."""


def load_engine(
    name: str,
    *,
    threads: int,
    device: str,
    progress: Progress,
    wishes: Wishes | None = None,
    step_down: int = 0,
    ranks: RankOptions | None = None,
    folder: Path | None = None,
) -> PaintEngine:
    """Load an engine by name and warm it up; raises whatever is in its way.

    `ranks`: what paints with this process, and `folder`: for the socket to them.
    """
    if name == ECHO:
        return EchoEngine()
    if ":" in name and os.environ.get(TEST_ENGINES_VARIABLE) == "1":
        module, function = name.split(":", 1)
        return cast(PaintEngine, getattr(importlib.import_module(module), function)())
    # Before torch is loaded, which takes seconds: a model may not be there.
    source = find_model(name)
    visible_cards = os.environ.get(VISIBLE)
    if source.name != POCKET or device != "auto":
        device = see_only(device)
    models: Any = importlib.import_module("limner.worker.model_loading")
    crew: Any = None
    if ranks and folder:
        start: Any = importlib.import_module("limner.worker.crew.start")
        crew = start.CrewPlan(options=ranks, folder=folder, visible_cards=visible_cards)
    engine = models.load(
        source,
        threads=threads,
        device=device,
        progress=progress,
        wishes=wishes,
        step_down=step_down,
        ranks=crew,
    )
    return cast(PaintEngine, engine)
