"""What rank 0 tells the other ranks, and what they report: small messages, in one order for all.

Every rank does what it is told in the order in which it is told, and each of these orders is the same. So a
transfer needs no header: whoever hears of a command knows what will come over which line, and how much.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from limner.engine.errors import EngineError

MaskKind = Literal["none", "bool", "float"]


class _Message(msgspec.Struct, frozen=True, tag=True, kw_only=True, forbid_unknown_fields=True):
    """A command or a report."""


class LoraFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One LoRA and how much of it. Each rank has a file of its own."""

    name: str
    """Of the file, without folders."""
    sha256: str
    weight: float


class Hold(_Message, frozen=True, kw_only=True):
    """Hold these blocks and no others; report `Held`. To each rank its own, before anything is painted."""

    first: int
    end: int
    """One past the last; as `first` for none."""
    decodes: bool = False
    """Hold the decoder as well."""
    loras: tuple[LoraFile, ...] = ()
    """In force."""


class Open(_Message, frozen=True, kw_only=True):
    """A new stream, or one that begins anew at another size."""

    stream: int
    rows: int
    grid: tuple[int, int]
    """Tokens down and across."""
    counts: tuple[int, ...] = ()
    """Latent frames that each row has taken in; what they left, `Past` brings. Empty: nothing."""


class Past(_Message, frozen=True, kw_only=True):
    """What a stream remembers in a block goes round the ring; who holds it fills it in, or takes it."""

    stream: int
    layer: int
    is_asked: bool
    """It is filled in; else it is taken."""
    size_bytes: int


class Close(_Message, frozen=True, kw_only=True):
    """A stream is over."""

    stream: int


class Rows(_Message, frozen=True, kw_only=True):
    """Go on with more or fewer rows."""

    stream: int
    rows: int


class Reset(_Message, frozen=True, kw_only=True):
    """Forget a row."""

    stream: int
    row: int


class Text(_Message, frozen=True, kw_only=True):
    """A text that the next forwards may have; its embedding goes along the ring."""

    text: int
    tokens: int
    mask: MaskKind
    size_bytes: int


class DropText(_Message, frozen=True, kw_only=True):
    """A text that no forward will have any more."""

    text: int


class Forward(_Message, frozen=True, kw_only=True):
    """One micro-step: one chunk on one row through all blocks."""

    stream: int
    row: int
    text: int
    frames: int
    """Latent frames."""
    votes: bool
    """Whether its frames may replace sinks: in how many blocks each did, travels with it."""
    size_bytes: int


class Prepare(_Message, frozen=True, kw_only=True):
    """Load these blocks beside the work, after those before; report `Prepared`."""

    number: int
    """No two are the same."""
    first: int
    end: int


class Move(_Message, frozen=True, kw_only=True):
    """Blocks go from a rank to its neighbour, with all that streams remember in them; who gets them reports
    `Moved`. More may follow, until `Settled`."""

    first: int
    end: int
    source: int
    target: int
    size_bytes: int


class Settled(_Message, frozen=True, kw_only=True):
    """No more blocks move for now: what was prepared and is not held is not needed."""


class Decode(_Message, frozen=True, kw_only=True):
    """Clean latents become pictures. To the rank that decodes; they come from rank 0, and go back there."""

    stream: int
    frames: int
    """Latent frames."""
    size: tuple[int, int]
    """Height and width of a latent frame."""
    begins: bool
    """A new context begins with them."""
    shows: bool
    """Their pictures are wanted; else they are only to be remembered."""
    size_bytes: int


class ResetDecoder(_Message, frozen=True, kw_only=True):
    """The next latents of a stream are its first. To the rank that decodes."""

    stream: int


class PrepareDecoder(_Message, frozen=True, kw_only=True):
    """Load the decoder beside the work, and try it at these sizes of latents; report `DecoderPrepared`."""

    sizes: tuple[tuple[int, int], ...]


class MoveDecoders(_Message, frozen=True, kw_only=True):
    """Another rank decodes from now on, which gets what the decoders of all streams remember. To both."""

    source: int
    target: int
    streams: tuple[tuple[int, int, int], ...]
    """Number, and height and width of latents, of each stream that has a decoder, in their order."""
    size_bytes: int


class DecoderPast(_Message, frozen=True, kw_only=True):
    """What a stream's decoder remembers goes to rank 0, or comes from there. To the rank that decodes."""

    stream: tuple[int, int, int]
    """Number, and height and width of its latents."""
    is_asked: bool
    """It goes to rank 0."""
    size_bytes: int


class ReadLoras(_Message, frozen=True, kw_only=True):
    """Read these beside the work; report `LorasRead`."""

    number: int
    files: tuple[LoraFile, ...]


class UseLoras(_Message, frozen=True, kw_only=True):
    """These are in force from here on, and no others."""

    files: tuple[LoraFile, ...]


class Stop(_Message, frozen=True, kw_only=True):
    """The pipeline is closed."""


Decoding = Decode | ResetDecoder | MoveDecoders | DecoderPast
"""What is done beside all else, in an order of its own."""
Command = (
    Hold
    | Open
    | Past
    | Close
    | Rows
    | Reset
    | Text
    | DropText
    | Forward
    | Prepare
    | Move
    | Settled
    | Decode
    | ResetDecoder
    | PrepareDecoder
    | MoveDecoders
    | DecoderPast
    | ReadLoras
    | UseLoras
    | Stop
)


class Held(_Message, frozen=True, kw_only=True):
    """The blocks that `Hold` was about are there."""

    first: int
    end: int
    lora_fault: str = ""
    """Why they are there without LoRAs; empty: as told."""


class LorasRead(_Message, frozen=True, kw_only=True):
    """What `ReadLoras` was about is read."""

    number: int
    fault: str = ""
    """Why it is not; empty: it is."""


class Prepared(_Message, frozen=True, kw_only=True):
    """The blocks that `Prepare` was about are there."""

    number: int
    fault: str = ""
    """Why they are not, for want of memory most likely; empty: they are."""


class Moved(_Message, frozen=True, kw_only=True):
    """The past of blocks that came to this rank is there."""

    first: int
    end: int
    took_ms: float
    """For so long this rank could do nothing else."""


class DecoderPrepared(_Message, frozen=True, kw_only=True):
    """The decoder that `PrepareDecoder` was about is there."""

    fault: str = ""
    """Why it is not; empty: it is."""


Coding = Literal["encode", "decode"]


class Coded(_Message, frozen=True, kw_only=True):
    """What the autoencoder's work on a rank was since its last report."""

    what: Coding
    chunks: int
    ms: float
    """The median of a chunk."""
    work_ms: float = 0.0
    """As in `Times`; on a card also with what else was done beside it."""
    busy_ms: float
    """Of all chunks together."""
    spans_us: tuple[tuple[int, int], ...] = ()
    """As in `Times`."""


class Times(_Message, frozen=True, kw_only=True):
    """What a rank did since its last report."""

    rank: int
    held: tuple[int, ...]
    """Blocks that it has in memory."""
    forwards: int
    compute_ms: float
    """The median of a forward through its blocks; 0 when there was none."""
    work_ms: float = 0.0
    """Of one forward without what else was done beside it, as far as that can be known."""
    busy_ms: float
    """In computing, of all that time."""
    waiting_ms: float
    """In waiting for what to compute with."""
    spent_ms: float
    """All the time that this is about."""
    spans_us: tuple[tuple[int, int], ...] = ()
    """Of each forward: when it began, on the rank's monotonic clock, and how long it took. At most 200."""
    coded: tuple[Coded, ...] = ()
    """Encoding and decoding, where it did some; beside the forwards, so the times overlap."""


class Fault(_Message, frozen=True, kw_only=True):
    """Something failed on a rank; it takes no part any more until there is a new generation."""

    reason: str


Report = Held | Prepared | Moved | DecoderPrepared | LorasRead | Times | Fault

_command: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_report: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)
_encoder = msgspec.msgpack.Encoder()


def encoded(message: Command | Report) -> bytes:
    """A message for the channel."""
    return _encoder.encode(message)


def command_in(message: bytes) -> Command:
    """The command in a message; EngineError when it is none."""
    try:
        return _command.decode(message)
    except msgspec.DecodeError as error:
        raise EngineError(f"rank 0 sent what is no command ({error}); is it of another version?") from error


def report_in(message: bytes) -> Report:
    """The report in a message; EngineError when it is none."""
    try:
        return _report.decode(message)
    except msgspec.DecodeError as error:
        raise EngineError(f"a rank sent what is no report ({error}); is it of another version?") from error
