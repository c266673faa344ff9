"""What the loop holds of a session: its segments, its painter, and what is inside the painter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from limner.daemon.protocol import PromptShare, Settings
from limner.daemon.segment import PAGE_BYTES, Segment, SegmentError
from limner.daemon.worker_protocol import Give, Open
from limner.engine.slo_plan import Plan
from limner.worker.behind import Behind
from limner.worker.engines import Painted, PaintEngine, PaintStream, Pixels, always


class Pushed(NamedTuple):
    """A chunk inside the painter."""

    gives: list[Give]
    """Its real frames."""
    frames: int
    """How many it has with those that stand in."""


@dataclass
class SessionStream:
    """One session's picture, for the loop's thread."""

    opening: Open
    input: Segment
    output: Segment
    painter: PaintStream
    settings: Settings
    rev: int
    plan: Plan | None
    """What the painter was told last."""
    pushed: int = 0
    """Chunks since the painter was opened or reset."""
    first_chunk: int = 0
    """Chunks before that."""
    inside: dict[int, Pushed] = field(default_factory=dict)
    unlock: Callable[[], None] = lambda: None
    """Ends what the engine did to the input's memory."""
    begun: bool = False
    """Frames are welcome: what it is to paint at first can be painted."""
    asked_for: tuple[str, list[PromptShare]] | None = None
    prompts_are_there: Callable[[], bool] = always
    """Those that are asked for."""
    done_rev: int = -1
    last_pts_ns: int | None = None
    behind: Behind = field(default_factory=lambda: Behind(0))
    last_frame: Pixels | None = None
    """A copy of the last that was pushed, where the painter is behind."""
    made_of: list[Give] = field(default_factory=list)
    """Frames of the source that what came out last was made of."""

    def pixels(self, segment: Segment, slot: int) -> Pixels:
        """Return frame_HW4, a view of a slot."""
        flat = np.frombuffer(segment.pixels(slot), dtype=np.uint8)
        return flat.reshape(self.opening.height, self.opening.width, 4)

    def ask(self, engine: PaintEngine, settings: Settings, then: Callable[[], None]) -> None:
        """Ask for the prompts of these settings, if they are not asked for; `then`: look again."""
        wanted = (settings.prompt, settings.mix)
        if wanted != self.asked_for:
            self.asked_for, self.prompts_are_there = wanted, engine.ask(settings, then)

    def take_in(self, gives: list[Give]) -> list[Pixels]:
        """Note a chunk that is about to be pushed; return its frames.

        A clip's last chunk may be short: its last frame stands in for those that do not come.
        """
        frames = [self.pixels(self.input, give.slot) for give in gives]
        if self.behind.frames:
            self.last_frame = frames[-1].copy()
        return self._pushed(gives, frames)

    def take_in_again(self) -> list[Pixels]:
        """Note a chunk of nothing but the last frame, which brings out what a painter is behind with."""
        assert self.last_frame is not None, "nothing was pushed"
        return self._pushed([], [self.last_frame])

    def _pushed(self, gives: list[Give], frames: list[Pixels]) -> list[Pixels]:
        frames += [frames[-1]] * (self.painter.frames_per_chunk - len(frames))
        self.inside[self.pushed] = Pushed(gives, len(frames))
        self.pushed += 1
        return frames

    def come_out(self, painted: Painted) -> list[list[tuple[int, Give]]]:
        """Return the real frames of each chunk that was painted, and their places in what was painted.

        They are inside no more.
        """
        for lost in [number for number in self.inside if number < painted.chunk]:
            self.behind.shown(*self.inside.pop(lost))
        if painted.is_cut:
            # The painter began anew: it would show the new scene with the times of the old one's last frames.
            self.behind.begin_anew()
        self.made_of = []
        chunks, first = [], 0
        for number in range(painted.chunk, painted.chunk + painted.chunks):
            chunk = self.inside.pop(number, Pushed([], 0))
            self.made_of += chunk.gives
            chunks.append([(first + place, give) for place, give in self.behind.shown(*chunk)])
            first += chunk.frames
        return chunks

    def begin_anew(self) -> None:
        """Forget the past: another picture follows, and the painter counts its chunks from 0 again."""
        self.painter.reset()
        self.inside.clear()
        self.behind.begin_anew()
        self.first_chunk += self.pushed
        self.pushed = 0

    def close(self) -> None:
        """Unmap both segments."""
        self.unlock()
        self.input.close()
        self.output.close()


def map_segments(opening: Open) -> tuple[Segment, Segment]:
    """Map (input, output) of a session; raises SegmentError when they are not as the daemon said."""
    source = Segment.open(opening.input.name)
    try:
        painted = Segment.open(opening.output.name)
    except SegmentError:
        source.close()
        raise
    try:
        _check(opening, source, painted)
    except BaseException:
        source.close()
        painted.close()
        raise
    for segment in (source, painted):
        _touch(segment)
    return source, painted


def _touch(segment: Segment) -> None:
    """Map every page now, not in the middle of the first frames."""
    for slot in range(segment.layout.slot_count):
        np.frombuffer(segment.pixels(slot), dtype=np.uint8)[::PAGE_BYTES].max()


def _check(opening: Open, *segments: Segment) -> None:
    """Hold the segments against what the daemon said of them."""
    for segment in segments:
        layout = segment.layout
        found = (layout.width, layout.height, layout.generation)
        said = (opening.width, opening.height, opening.generation)
        if found != said:
            raise SegmentError(
                f"segment {segment.name}: width, height, generation are {found}, the daemon said {said}"
            )
