"""What daemon and worker say to each other. Same wire format as protocol.py, never seen by a client."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from limner.daemon.protocol import (
    Generation,
    Name,
    Plan,
    Prompt,
    PtsNs,
    RankInfo,
    Rev,
    SegmentRef,
    Sequence,
    Settings,
    Side,
    Slot,
    Strength,
)
from limner.daemon.wire import Codec, Message

EXIT_NO_ENGINE = 3
"""Of a worker that has nothing to paint with."""
EXIT_NO_MEMORY = 5
"""Of a worker that had less memory than was planned for: the next one plans with less."""

# ---- daemon → worker


class Open(Message, frozen=True, kw_only=True):
    """Begin to paint a session."""

    session: Name
    generation: Generation
    width: Side
    height: Side
    fps: float
    input: SegmentRef
    output: SegmentRef
    rev: Rev
    settings: Settings


class Close(Message, frozen=True, kw_only=True):
    """End a session; its segments will go."""

    session: Name


class Update(Message, frozen=True, kw_only=True):
    """New settings, from the next chunk on. The newest wins."""

    session: Name
    rev: Rev
    settings: Settings


class Reset(Message, frozen=True, kw_only=True):
    """Forget what was painted: the next chunk is the first of a stream."""

    session: Name


class Give(Message, frozen=True, kw_only=True):
    """To the worker: an input frame. To the daemon: a painted frame. The slot changes hands."""

    session: Name
    generation: Generation
    slot: Slot
    sequence: Sequence
    pts_ns: PtsNs


class Return(Message, frozen=True, kw_only=True):
    """A slot goes back to its producer. `dropped`: its frame was not painted."""

    session: Name
    generation: Generation
    slot: Slot
    dropped: bool = False


class Prepare(Message, frozen=True, kw_only=True):
    """Be ready for these prompts, in this order, when there is nothing better to do."""

    prompts: list[Prompt]


class Stop(Message, frozen=True, kw_only=True):
    """End the process."""


# ---- worker → daemon


class Loading(Message, frozen=True, kw_only=True):
    """Progress of the start, 0..1."""

    progress: float
    what: str


class Ready(Message, frozen=True, kw_only=True):
    """The model is loaded and warm."""

    model: Name
    device: Name
    frames_per_chunk: int


class Opened(Message, frozen=True, kw_only=True):
    """Segments are mapped; from now on frames are welcome."""

    session: Name


class Done(Message, frozen=True, kw_only=True):
    """From chunk `chunk` on, whose first frame has `pts_ns`, revision `rev` is in the picture."""

    session: Name
    rev: Rev
    chunk: Sequence
    pts_ns: PtsNs
    note: Annotated[str, Meta(description="for people, on these settings; or empty")] = ""


class Report(Message, frozen=True, kw_only=True):
    """Twice a second, and proof of life: memory of the process, and how each session (by name) is painted."""

    chunks: int
    busy: bool
    memory_bytes: int
    stages_ms: Annotated[dict[str, dict[str, float]], Meta(description="means")] = {}
    notes: Annotated[dict[str, str], Meta(description="for people")] = {}
    strengths: Annotated[dict[str, Strength], Meta(description="that the noise controller chose last")] = {}
    plans: Annotated[dict[str, Plan], Meta(description="in force")] = {}
    waits: Annotated[str, Meta(description="why nothing is painted now, for people; or empty")] = ""
    ranks: Annotated[list[RankInfo], Meta(description="over which the model is spread")] = []


class Failed(Message, frozen=True, kw_only=True):
    """A session cannot be painted, or (session "") the worker cannot go on and will end."""

    session: str
    message: str
    generation: Annotated[int, Meta(ge=0, description="of the session's segments, 0: of the worker")] = 0


DAEMON_TO_WORKER = (Open, Close, Update, Reset, Give, Return, Prepare, Stop)
WORKER_TO_DAEMON = (Loading, Ready, Opened, Give, Return, Done, Report, Failed)

from_daemon: Codec[Message] = Codec(*DAEMON_TO_WORKER)
from_worker: Codec[Message] = Codec(*WORKER_TO_DAEMON)
