"""The one schema of what the daemon says and hears. docs/protocol.md is generated from here.

Client link: a DEALER socket (the OBS filter, `limner demo`, the CLI) to the daemon's ROUTER at `daemon.sock`.
Worker link: the worker's DEALER to the daemon's ROUTER at `worker.sock`; see worker_protocol.py.
Pixels never travel here: they lie in shared memory (segment.py), and a message hands a slot over.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from limner.daemon.wire import Codec, Message

# A peer says something at least this often (a `ping` when it has nothing else) ...
HEARTBEAT_S = 0.5
# ... and is gone when it has been silent for this long.
SILENCE_S = 2.0
MAX_PROMPT_CHARS = 1000
MAX_PROMPTS = 4
MAX_LORAS = 8
MAX_NAME_CHARS = 200
MAX_OBS_NAME_CHARS = 1000
MAX_SIDE = 8192
MAX_SAYINGS = 8
MAX_VALUES = 6

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Slot = Annotated[int, Meta(ge=0, le=255, description="index of a slot in the segment")]
Generation = Annotated[int, Meta(ge=1, le=2**32 - 1, description="of the segments; older ones are ignored")]
Sequence = Annotated[int, Meta(ge=0, le=2**63 - 1, description="frame number, counted by the client")]
PtsNs = Annotated[int, Meta(ge=0, le=2**63 - 1, description="presentation time on the client's clock, ns")]
Side = Annotated[int, Meta(ge=1, le=MAX_SIDE, description="pixels")]
Name = Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
ObsName = Annotated[str, Meta(min_length=1, max_length=MAX_OBS_NAME_CHARS)]
Rev = Annotated[int, Meta(ge=0, le=2**53, description="counted by whoever sends the change")]
State = Literal["off", "waiting", "loading", "live", "overloaded", "failed"]


# ---- what can be set: types, ranges and meaning of the fields that `Change` and `Settings` share

Style = Annotated[str, Meta(max_length=MAX_NAME_CHARS, description="name of a style")]
# A NUL would end the text early in C.
Prompt = Annotated[
    str, Meta(max_length=MAX_PROMPT_CHARS, pattern="^[^\\x00]*$", description="free words, no NUL")
]
Weight = Annotated[float, Meta(gt=0, le=1000, description="only the ratio to the others matters")]
Strength = Annotated[float, Meta(ge=0, le=1, description="0 the source, 1 all invented")]
ChosenStrength = Annotated[
    float, Meta(ge=0, le=1, description="that the noise controller chose last; nil: none is known yet")
]
Steps = Annotated[int, Meta(ge=1, le=4, description="denoising steps")]
LeastSteps = Annotated[
    int, Meta(ge=1, le=4, description="steps that overload may bring it down to; `steps` when that is less")
]
TransitionMs = Annotated[int, Meta(ge=0, le=60_000, description="how long a change of words takes, ms")]
Recache = Annotated[
    bool, Meta(description="begin the context anew with new words: a faster change, a forward more")
]
Mode = Annotated[
    Literal["auto", "throughput", "latency"],
    Meta(description="all steps in one forward (frames a second), or chunk by chunk (least delay)"),
]
Chunk = Annotated[int, Meta(ge=0, le=4, description="latent frames painted at a time; 0: chosen")]
LatencyMs = Annotated[
    int, Meta(ge=100, le=10_000, description="delay that painting keeps within, ms; quality gives way first")
]
Adapt = Annotated[bool, Meta(description="quality may give way under load")]
MotionAware = Annotated[bool, Meta(description="less noise where the picture moves fast")]
MotionWindow = Annotated[int, Meta(ge=1, le=240, description="the fastest of so many painted frames counts")]
MotionSmoothing = Annotated[float, Meta(ge=0, le=0.99, description="weight of the share before")]
MotionLow = Annotated[float, Meta(ge=0, le=1, description="share of the strength at full motion")]
MotionHigh = Annotated[float, Meta(ge=1, le=1.5, description="share of the strength when nothing moves")]
MotionHysteresis = Annotated[
    float, Meta(ge=0, le=0.5, description="shares that differ by less change nothing")
]
Steadiness = Annotated[
    float, Meta(ge=0, le=0.95, description="how much of the painted frame before is kept along the motion")
]
Cuts = Annotated[bool, Meta(description="begin anew where the scene changes")]
Bypass = Annotated[bool, Meta(description="show the source")]
OnAir = Annotated[
    bool,
    Meta(description="people see it now (OBS's programme): where sessions share a machine, it comes first"),
]


LoraName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_NAME_CHARS,
        pattern="^[^\\x00-\\x1f]*$",
        description="of a file in the folder of LoRAs, without its ending",
    ),
]
LoraWeight = Annotated[float, Meta(ge=-10, le=10, description="1 as it was trained, 0 nothing")]


class PromptShare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prompt of a mix."""

    prompt: Prompt
    weight: Weight = 1.0


Mix = Annotated[
    list[PromptShare], Meta(max_length=MAX_PROMPTS, description="painted instead of `prompt`; empty: not")
]


class Lora(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A LoRA to paint with."""

    name: LoraName
    weight: LoraWeight = 1.0


Loras = Annotated[
    list[Lora],
    Meta(max_length=MAX_LORAS, description="to paint with; a model has one set for all sessions"),
]


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Settings to change; what is absent (or nil) stays as it is.

    A style sets prompt, strength and steps to its own (some set more); a prompt or a mix without a style
    makes the look "custom". A mix is painted instead of the prompt until a prompt or a style comes.
    """

    style: Style | None = None
    prompt: Prompt | None = None
    mix: Mix | None = None
    transition_ms: TransitionMs | None = None
    recache: Recache | None = None
    strength: Strength | None = None
    steps: Steps | None = None
    least_steps: LeastSteps | None = None
    seed: U32 | None = None
    mode: Mode | None = None
    chunk: Chunk | None = None
    latency_ms: LatencyMs | None = None
    adapt: Adapt | None = None
    motion_aware: MotionAware | None = None
    motion_window: MotionWindow | None = None
    motion_smoothing: MotionSmoothing | None = None
    motion_low: MotionLow | None = None
    motion_high: MotionHigh | None = None
    motion_hysteresis: MotionHysteresis | None = None
    steadiness: Steadiness | None = None
    cuts: Cuts | None = None
    bypass: Bypass | None = None
    on_air: OnAir | None = None
    lora: Loras | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a session, as they are in force. With a mix, `prompt` is its prompts, one by one."""

    style: Style = ""
    prompt: Prompt = ""
    mix: Mix = []
    transition_ms: TransitionMs = 0
    recache: Recache = True
    strength: Strength = 0.5
    steps: Steps = 1
    least_steps: LeastSteps = 1
    seed: U32 = 0
    mode: Mode = "auto"
    chunk: Chunk = 0
    latency_ms: LatencyMs = 600
    adapt: Adapt = True
    motion_aware: MotionAware = True
    motion_window: MotionWindow = 8
    motion_smoothing: MotionSmoothing = 0.1
    motion_low: MotionLow = 0.7
    motion_high: MotionHigh = 1.0
    motion_hysteresis: MotionHysteresis = 0.02
    steadiness: Steadiness = 0.93
    cuts: Cuts = True
    bypass: Bypass = False
    on_air: OnAir = True
    lora: Loras = []


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a session is painted now, within its settings and what the machine can do."""

    steps: Steps
    mode: Literal["throughput", "latency"]
    chunk: Annotated[int, Meta(ge=1, le=4, description="latent frames painted at a time")]
    width: Side
    height: Side
    frame_step: Annotated[int, Meta(ge=1, description="every how manieth frame is painted; 1: all")]
    reduced: Annotated[bool, Meta(description="less than the settings ask for, to keep up")]
    together: Annotated[int, Meta(ge=1, description="streams that share a forward, in the mean of late")] = 1
    sentence: Annotated[str, Meta(description='what is less, "1 of 2 steps, 256×144"; else empty')] = ""


class Saying(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of a sentence, to be said in another language by `code` and `values`, else as `text`."""

    code: Annotated[Name, Meta(description="of a template in sayings.py; empty: free words")] = ""
    values: Annotated[
        dict[str, str], Meta(max_length=MAX_VALUES, description="what stands in the template's places")
    ] = {}
    text: Annotated[str, Meta(description="English")]


Sayings = Annotated[
    list[Saying], Meta(max_length=MAX_SAYINGS, description="the sentence, piece by piece; joined by `; `")
]


class SegmentRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a segment is: POSIX shared memory `/name`; its layout is in segment.py."""

    name: Name
    size_bytes: Annotated[int, Meta(ge=4096)]
    slots: Annotated[int, Meta(ge=1, le=256)]


class Percentiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Running percentiles over the last few seconds, ms."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0


class ObsFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A filter of OBS that a rule speaks of."""

    source: ObsName
    filter: ObsName
    enabled: bool


class ObsInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OBS as the rules see it, and what they do."""

    connected: bool
    sentence: Annotated[str, Meta(description="for people: connected to what, or what it waits for")]
    version: Name = ""
    scene: Annotated[str, Meta(max_length=MAX_OBS_NAME_CHARS, description="the programme's")] = ""
    preview: Annotated[
        str, Meta(max_length=MAX_OBS_NAME_CHARS, description="studio mode's; empty: it is off")
    ] = ""
    filters: Annotated[list[ObsFilter], Meta(max_length=200, description="that rules speak of")] = []
    shown: Annotated[
        list[ObsName], Meta(max_length=200, description="sources that rules speak of, on air now")
    ] = []
    reasons: Annotated[dict[str, str], Meta(description="by session: what rules set there, and why")] = {}


# ---- client → daemon


class Hello(Message, frozen=True, kw_only=True):
    """Open a session (or, as an `observer`, only listen and set). Said again, it replaces the session.

    A source of any size is painted, be it 7×5: the client scales its frames to what `welcome` says.
    """

    client: Annotated[Name, Meta(description="program and version")]
    name: Annotated[Name, Meta(description="what people call it: the filter's source, the clip's file")]
    role: Literal["filter", "demo", "bench", "observer"]
    pid: U32
    source_width: Side
    source_height: Side
    fps: Annotated[float, Meta(gt=0, le=1000, description="frames per second that the client will send")]
    exact_size: Annotated[
        bool, Meta(description="wants the source's own size as working size (echo engine)")
    ] = False
    settings: Change = Change()


class Frame(Message, frozen=True, kw_only=True):
    """Slot `slot` holds this frame and is now the receiver's (input: client gives; output: daemon gives)."""

    generation: Generation
    slot: Slot
    sequence: Sequence
    pts_ns: PtsNs


class Free(Message, frozen=True, kw_only=True):
    """Slot `slot` is the receiver's again (input: daemon gives back; output: client gives back)."""

    generation: Generation
    slot: Slot


class Set(Message, frozen=True, kw_only=True):
    """Change settings of one session or of all."""

    rev: Rev
    change: Change
    session: Annotated[str, Meta(description='"" own session; "*" all; else an id or a name')] = ""


class Reset(Message, frozen=True, kw_only=True):
    """Forget the past of one session or of all: the picture begins anew, with the same settings."""

    session: Annotated[str, Meta(description='"" own session; "*" all; else an id or a name')] = ""


class Query(Message, frozen=True, kw_only=True):
    """Ask for one `overview`."""


class Obs(Message, frozen=True, kw_only=True):
    """What the control of OBS (a process of the daemon's own) has to say of OBS."""

    info: ObsInfo


class Ping(Message, frozen=True, kw_only=True):
    """Nothing to say, but alive."""


class Bye(Message, frozen=True, kw_only=True):
    """Close the session now."""


# ---- daemon → client


class Welcome(Message, frozen=True, kw_only=True):
    """The session is open: map the segments, scale frames to width × height, hand them over."""

    session: Name
    generation: Generation
    model: Name
    width: Side
    height: Side
    frames_per_chunk: Annotated[int, Meta(ge=1, le=64, description="painted frames come in such groups")]
    input: SegmentRef
    output: SegmentRef
    styles: Annotated[list[Name], Meta(description="names, in the order to show them")]
    settings: Settings


class Styles(Message, frozen=True, kw_only=True):
    """The styles are others now (the user's file of them has changed): take these for those of `welcome`."""

    styles: Annotated[list[Name], Meta(description="names, in the order to show them")]


class Accepted(Message, frozen=True, kw_only=True):
    """A `set` (or the settings in `hello`, rev 0) was taken; what is in force now, and notes."""

    rev: Rev
    session: Name
    settings: Settings
    notes: list[str] = []
    sayings: Annotated[Sayings, Meta(description="the notes, piece by piece")] = []


class Applied(Message, frozen=True, kw_only=True):
    """The change (rev 0: the settings in `hello`) reached the picture: from this chunk and time on."""

    rev: Rev
    session: Name
    chunk: Sequence
    pts_ns: PtsNs
    notes: Annotated[
        list[str], Meta(description="what the model says of it: words that it does not know")
    ] = []


class Status(Message, frozen=True, kw_only=True):
    """Twice a second to each session: how it is, for programs and in a sentence for people."""

    session: Name
    state: State
    sentence: str
    sayings: Sayings = []
    device: Annotated[str, Meta(description="what paints; empty: nothing is ready to")] = ""
    progress: Annotated[float, Meta(ge=0, le=1, description="of loading")] = 0.0
    fps_in: float = 0.0
    fps_out: float = 0.0
    received: U32 = 0
    painted: U32 = 0
    dropped: U32 = 0
    latency_ms: Percentiles = Percentiles()
    stages_ms: dict[str, float] = {}
    strength: ChosenStrength | None = None
    plan: Annotated[Plan | None, Meta(description="in force; nil: none is known yet")] = None
    settings: Settings = Settings()


class RankInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the processes over which the model is spread. Shares are of the time of late."""

    rank: Annotated[int, Meta(ge=0, description="0: the worker itself")]
    pid: int
    machine: Annotated[str, Meta(description="empty: this one")] = ""
    device: str = ""
    first: Annotated[int, Meta(ge=0, description="block of the model that it holds first")] = 0
    blocks: Annotated[int, Meta(ge=0, description="how many it holds")] = 0
    busy: Annotated[float, Meta(ge=0, le=1, description="computing")] = 0.0
    bubble: Annotated[float, Meta(ge=0, le=1, description="waiting for something to compute")] = 0.0
    transfer: Annotated[float, Meta(ge=0, le=1, description="the rest: sending, receiving, deciding")] = 0.0
    memory_bytes: int = 0
    encodes: Annotated[bool, Meta(description="frames become latents here")] = False
    decodes: Annotated[bool, Meta(description="latents become frames here")] = False
    encode_ms: Annotated[float, Meta(ge=0, description="of a chunk, beside all else; 0: not known")] = 0.0
    decode_ms: Annotated[float, Meta(ge=0, description="of a chunk, beside all else; 0: not known")] = 0.0


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The worker process as the daemon sees it."""

    state: Literal["stopped", "loading", "ready", "failed"]
    pid: int = 0
    model: str = ""
    device: str = ""
    restarts: int = 0
    memory_bytes: int = 0
    sentence: str = ""
    waits: Annotated[
        str, Meta(description="why no session is painted for the moment; empty: nothing is in the way")
    ] = ""
    ranks: Annotated[list[RankInfo], Meta(description="empty: the worker paints alone")] = []


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session in an overview."""

    name: str
    role: str
    width: int
    height: int
    source_width: int
    source_height: int
    status: Status


class Overview(Message, frozen=True, kw_only=True):
    """Answer to `query`: the daemon, its worker, all sessions."""

    version: str
    pid: int
    uptime_s: float
    worker: WorkerInfo
    sessions: list[SessionInfo]
    styles: list[Name]
    styles_problem: Annotated[
        str, Meta(description="what is wrong with the user's file of styles; the last good ones are in force")
    ] = ""
    obs: Annotated[ObsInfo | None, Meta(description="nil: there are no rules, so nobody looks")] = None


class Error(Message, frozen=True, kw_only=True):
    """Something was refused; the rest goes on. `code` for programs, `message` for people."""

    code: Name
    message: str
    about: Annotated[str, Meta(description="type of the message refused, or empty")] = ""


CLIENT_TO_DAEMON = (Hello, Frame, Free, Set, Reset, Query, Obs, Ping, Bye)
DAEMON_TO_CLIENT = (Welcome, Styles, Frame, Free, Accepted, Applied, Status, Overview, Error)

from_client: Codec[Message] = Codec(*CLIENT_TO_DAEMON)
from_daemon: Codec[Message] = Codec(*DAEMON_TO_CLIENT)
