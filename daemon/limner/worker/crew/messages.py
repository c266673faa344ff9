"""What the worker (rank 0) and the processes of the other ranks say to each other, apart from the pixels.

Over ZeroMQ, as all of Limner's messages (see daemon/wire.py). What a `Told` or a `Said` holds is the
pipeline's own (engine/pipeline/commands.py); nobody looks inside here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from limner.daemon.protocol import Name
from limner.daemon.rank_trace import TraceWanted
from limner.daemon.wire import Codec, Message
from limner.models.plan_bytes import Choice

BEAT_S = 0.25
"""Each side says something at least this often."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seat = Annotated[int, Meta(ge=-1, le=255, description="place among the ranks of the worker's own machine")]

WeightKind = Literal["bf16", "int8", "fp8"]

# ---- rank → worker


class Hello(Message, frozen=True, kw_only=True):
    """A process that can be a rank. `seat` -1: from another machine."""

    seat: Seat
    machine: Name
    """For people; two machines may have the same."""
    pid: Count
    device: Name
    """As torch counts it."""
    device_name: Name
    process: Name = ""
    """Of this process alone, however often it says hello."""
    place: Name = ""
    """Of its device alone, whichever process is on it."""
    total_bytes: Count = 0
    """The card's memory; 0: a processor, for which nothing is planned."""
    free_bytes: Count = 0
    """Of that, what no other program has, before anything is loaded."""
    capability: tuple[Count, Count] = (0, 0)
    """Compute capability, such as (8, 9)."""
    processors: Count = 0
    """How many the card has: a first guess at its speed. 0: not known."""


class Knows(Message, frozen=True, kw_only=True):
    """After a `Welcome`: what the files of the model are here, see digest.py; empty: nothing to compare."""

    digest: Annotated[str, Meta(max_length=64)]


class Beat(Message, frozen=True, kw_only=True):
    """Four times a second, and at once in answer to a `Pulse`."""

    clock_ns: Count
    """Own monotonic clock."""
    echo_ns: Count = 0
    """The pulse's clock that this answers; 0: none."""
    generation: Count = 0
    """That it serves; 0: none."""
    reports: Count = 0
    """Of this generation, by the thread that computes: its signs of life."""
    silent_ms: Count = 0
    """For how long there was none; 0 while it waits for data of another rank."""
    waits: bool = False
    """For the next generation: it can be gathered."""
    memory_bytes: Count = 0


class Said(Message, frozen=True, kw_only=True):
    """A report of the pipeline's; `number`: counted from 0 in each generation."""

    generation: Count
    number: Count
    body: bytes


class Loaded(Message, frozen=True, kw_only=True):
    """What a `Load` asked for is in memory; where it is not, that will show when it has to be."""

    first: Count
    end: Count
    fault: Annotated[str, Meta(max_length=500)] = ""


class Fallen(Message, frozen=True, kw_only=True):
    """This rank cannot go on in this generation, and waits for the next one."""

    generation: Count
    why: str
    is_own: bool = True
    """The fault; else it is another rank that is gone."""
    no_memory: bool = False
    """It could go on with fewer blocks."""


# ---- worker → rank


class Welcome(Message, frozen=True, kw_only=True):
    """What will be painted with. Comes when the memory of all cards is planned."""

    engine: Name
    dtype: Name = "float32"
    """What all ranks compute in, as torch calls it."""
    weight_kind: WeightKind = "bf16"
    choice: Choice | None = None
    """The way to paint that was planned, which the config of all ranks follows; None: the model's own."""


class Pulse(Message, frozen=True, kw_only=True):
    """Four times a second: rank 0 lives; its monotonic clock."""

    clock_ns: Count


class Gather(Message, frozen=True, kw_only=True):
    """Join a generation of the data plane's group, as this rank."""

    generation: Count
    rank: Count
    size: Count
    host: Name
    port: Count
    transport: Literal["gloo", "nccl"]


class Load(Message, frozen=True, kw_only=True):
    """Have these blocks in memory, and no others: with them you will be taken in. Answered by `Loaded`."""

    first: Count
    end: Count


class Told(Message, frozen=True, kw_only=True):
    """A command of the pipeline's; `number`: counted from 0 in each generation, for each rank."""

    generation: Count
    number: Count
    body: bytes


class Drop(Message, frozen=True, kw_only=True):
    """This generation is over; the next one will be said."""

    generation: Count


class Anew(Message, frozen=True, kw_only=True):
    """You were given up, wrongly or for a while (a cut link): say hello under another name."""


class Dismiss(Message, frozen=True, kw_only=True):
    """End, whatever you are at: it took too long, or painting is over."""

    why: str


from_rank: Codec[Message] = Codec(Hello, Knows, Beat, Said, Loaded, Fallen, TraceWanted)
from_worker: Codec[Message] = Codec(Welcome, Pulse, Load, Gather, Told, Drop, Anew, Dismiss)
