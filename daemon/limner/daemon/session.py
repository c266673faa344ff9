"""One session: a client's stream, its segments, who owns which slot, its settings and figures."""

from __future__ import annotations

from dataclasses import dataclass

from limner.daemon import worker_protocol as to_worker
from limner.daemon.metrics import Rate, RunningPercentiles
from limner.daemon.protocol import (
    Hello,
    Plan,
    SegmentRef,
    SessionInfo,
    Settings,
    Status,
    WorkerInfo,
)
from limner.daemon.sayings import fitting, sentence
from limner.daemon.segment import (
    DIRECTION_INPUT,
    DIRECTION_OUTPUT,
    Segment,
    SegmentLayout,
    unlink_segment,
)
from limner.daemon.sizes import EngineTraits
from limner.daemon.slots import Owner, SlotTable
from limner.daemon.status import Facts, OverloadWatch, describe

NS_PER_MS = 1_000_000
# A presentation time further off than this is not on our clock: no latency can be told from it.
_MAX_LATENCY_NS = 60_000 * NS_PER_MS


@dataclass(frozen=True, kw_only=True)
class SegmentPair:
    """Where the two segments of a session are."""

    generation: int
    width: int
    height: int
    input: SegmentRef
    output: SegmentRef

    @classmethod
    def create(
        cls, prefix: str, traits: EngineTraits, *, generation: int, width: int, height: int
    ) -> SegmentPair:
        """Make both segments; raises SegmentError or OSError, and leaves nothing behind then."""
        size = {"generation": generation, "width": width, "height": height}
        source = _make(prefix, **size, direction=DIRECTION_INPUT, slots=traits.input_slots)
        try:
            painted = _make(prefix, **size, direction=DIRECTION_OUTPUT, slots=traits.output_slots)
        except BaseException:
            unlink_segment(source.name)
            raise
        return cls(generation=generation, width=width, height=height, input=source, output=painted)

    def unlink(self) -> None:
        """Remove both names; the memory goes when the last side has unmapped it."""
        unlink_segment(self.input.name)
        unlink_segment(self.output.name)


def _make(prefix: str, *, generation: int, width: int, height: int, direction: int, slots: int) -> SegmentRef:
    layout = SegmentLayout(
        generation=generation, slot_count=slots, width=width, height=height, direction=direction
    )
    segment = Segment.create(prefix, layout)
    # The daemon never looks at pixels: the name keeps the memory.
    segment.close()
    return SegmentRef(name=segment.name, size_bytes=layout.size_bytes, slots=slots)


class Session:
    """State of one stream. Decides nothing about sockets: the hub does."""

    def __init__(
        self, *, name: str, client: bytes, hello: Hello, segments: SegmentPair, settings: Settings, rev: int
    ) -> None:
        self.name = name
        self.client = client
        self.hello = hello
        self.segments = segments
        self.settings = settings
        self.rev = rev
        """The daemon's own count of changes; a client's revs are translated."""
        self.input = SlotTable(segments.input.slots, Owner.CLIENT)
        self.output = SlotTable(segments.output.slots, Owner.WORKER)
        self.asked = False
        """The worker was told of this session."""
        self.opened = False
        """The worker has mapped the segments."""
        self.failure = ""
        self.failed_ns = self.failures = 0
        self.note = ""
        self.stages_ms: dict[str, float] = {}
        self.strength: float | None = None
        self.plan: Plan | None = None
        self.received = self.painted = self.dropped = 0
        self._fps_in, self._fps_out, self._fps_dropped = Rate(), Rate(), Rate()
        self._latency_ms = RunningPercentiles()
        self._first_painted_ns: int | None = None
        self._overload = OverloadWatch()

    @property
    def painting(self) -> bool:
        """The worker takes frames of this session."""
        return self.opened and not self.settings.bypass and not self.failure

    def open_message(self) -> to_worker.Open:
        """Return what tells the worker of this session."""
        s = self.segments
        return to_worker.Open(
            session=self.name,
            generation=s.generation,
            width=s.width,
            height=s.height,
            fps=self.hello.fps,
            input=s.input,
            output=s.output,
            rev=self.rev,
            settings=self.settings,
        )

    def frame_came(self, now_ns: int) -> None:
        """Count a frame from the client."""
        self.received += 1
        self._fps_in.add(now_ns)

    def frame_dropped(self, now_ns: int) -> None:
        """Count a frame that will not be painted."""
        self.dropped += 1
        self._fps_dropped.add(now_ns)

    def frame_painted(self, now_ns: int, pts_ns: int) -> None:
        """Count a painted frame; its latency runs from its presentation time to now."""
        self.painted += 1
        if self._first_painted_ns is None:
            self._first_painted_ns, self.failures = now_ns, 0
        self._fps_out.add(now_ns)
        if 0 <= now_ns - pts_ns < _MAX_LATENCY_NS:
            self._latency_ms.add(now_ns, (now_ns - pts_ns) / NS_PER_MS)

    def fail(self, reason: str, now_ns: int) -> None:
        """Note that the worker cannot paint this session."""
        self.failure, self.failed_ns = reason, now_ns
        self.failures += 1
        self.opened = False

    def worker_gone(self) -> list[int]:
        """Forget the worker; return the input slots that it had and that are the client's again."""
        self.asked = self.opened = False
        self.failure = ""
        self._first_painted_ns = None
        self.stages_ms, self.strength, self.plan = {}, None, None
        return self.input.take_back(Owner.WORKER)

    def status(self, now_ns: int, worker: WorkerInfo, progress: float) -> Status:
        """Return how the session is."""
        latency = self._latency_ms.read(now_ns)
        fps_in, fps_out = self._fps_in.read(now_ns), self._fps_out.read(now_ns)
        painting_ns = 0 if self._first_painted_ns is None else now_ns - self._first_painted_ns
        overloaded = self._overload.look(
            now_ns,
            painting_ns=painting_ns,
            fps_in=fps_in,
            fps_out=fps_out,
            fps_dropped=self._fps_dropped.read(now_ns),
        )
        state, said = describe(
            Facts(
                bypass=self.settings.bypass,
                failure=self.failure,
                opened=self.opened,
                painting_ns=painting_ns,
                worker=worker,
                progress=progress,
                fps_in=fps_in,
                fps_out=fps_out,
                overloaded=overloaded,
                steps=self.plan.steps if self.plan else self.settings.steps,
                delay_ms=latency.p50,
                plan=self.plan,
                note=self.note,
            )
        )
        return Status(
            session=self.name,
            state=state,
            sentence=sentence(said),
            sayings=fitting(said),
            device=worker.device if worker.state == "ready" else "",
            progress=progress,
            fps_in=fps_in,
            fps_out=fps_out,
            received=self.received,
            painted=self.painted,
            dropped=self.dropped,
            latency_ms=latency,
            stages_ms=self.stages_ms,
            strength=self.strength,
            plan=self.plan,
            settings=self.settings,
        )

    def info(self, status: Status) -> SessionInfo:
        """Return the session's line in an overview."""
        return SessionInfo(
            name=self.name,
            role=self.hello.role,
            width=self.segments.width,
            height=self.segments.height,
            source_width=self.hello.source_width,
            source_height=self.hello.source_height,
            status=status,
        )
