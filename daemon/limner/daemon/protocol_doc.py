"""Writes docs/protocol.md from the schema: `python -m limner.daemon.protocol_doc > docs/protocol.md`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from limner.daemon import protocol, segment, wire, worker_protocol

_NESTED = (
    protocol.Change,
    protocol.Settings,
    protocol.PromptShare,
    protocol.Lora,
    protocol.Plan,
    protocol.Saying,
    protocol.SegmentRef,
    protocol.Percentiles,
    protocol.WorkerInfo,
    protocol.RankInfo,
    protocol.SessionInfo,
    protocol.ObsInfo,
    protocol.ObsFilter,
)


def render() -> str:
    """Return the whole document."""
    parts = [
        _head(),
        "# Client link\n",
        "## Client → daemon\n",
        *(_message(t) for t in protocol.CLIENT_TO_DAEMON),
        "## Daemon → client\n",
        "`frame` and `free` are as above, the other way round.\n",
        *(_message(t) for t in protocol.DAEMON_TO_CLIENT if t not in protocol.CLIENT_TO_DAEMON),
        "## What messages contain\n",
        *(_message(t) for t in _NESTED),
        "# Worker link\n",
        "The same wire format, never seen by a client. A worker begins with no output slot; the daemon gives "
        "it each with a `return`. After `close`, or when the worker is gone, all slots that it held are "
        "their producers' again.\n",
        "## Daemon → worker\n",
        *(_message(t) for t in worker_protocol.DAEMON_TO_WORKER),
        "## Worker → daemon\n",
        "`give` and `return` are as above, the other way round.\n",
        *(_message(t) for t in worker_protocol.WORKER_TO_DAEMON if t not in worker_protocol.DAEMON_TO_WORKER),
        _segments(),
    ]
    # No blank line twice, none at the end.
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts))


def _head() -> str:
    links = (inspect.getdoc(protocol) or "").split("\n", 1)[1].strip()
    return f"""<!-- Written by `python -m limner.daemon.protocol_doc`. Change the schema, not this file. -->

# How Limner's processes speak

Protocol version {wire.VERSION}, segment ABI {segment.ABI}.

{links}

One message is one ZeroMQ frame that holds one msgpack map of at most {wire.MAX_MESSAGE_BYTES} bytes. Each has
`type`, as in the headings, and `v`, the version, {wire.VERSION}. An unknown type, an unknown key, a missing
one or a value out of its range is answered with one `error` that names it, and what it may be; nothing
changes and the session goes on.
A field with a default may be left out; nil is allowed only where a type says so.

A peer says something at least every {protocol.HEARTBEAT_S:g} s and is gone after
{protocol.SILENCE_S:g} s of silence.
All times are CLOCK_MONOTONIC, ns.

| `error.code` | meaning |
|---|---|
| `garbage` | no msgpack map with `v` and `type`, or more than one part |
| `too_large` | longer than {wire.MAX_MESSAGE_BYTES} bytes |
| `version` | another version of the protocol |
| `unknown_type` | a type that this direction does not have |
| `invalid` | an unknown or missing key, a wrong type, a value out of range |
| `no_session` | a frame, a free or a ping before `hello`: say `hello` (again) |
| `slot` | a slot that is not there, or not the sender's to give |
| `generation` | segments that are not there yet; messages for older ones are ignored |
| `unknown_style`, `unknown_session` | nobody knows the name; a `filter` whose `hello` names a style that \
is gone starts without it, and `accepted.notes` says so |
| `no_memory` | the segments cannot be made |
| `silent` | nothing was heard for too long: the session is closed |
| `stopping` | the daemon ends |
"""


def _message(kind: type[msgspec.Struct]) -> str:
    config = kind.__struct_config__
    title = f"`{config.tag}`" if config.tag else f"`{kind.__name__}`"
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        if field.name != "v":
            rows.append(
                f"| `{field.name}` | {_type(hints[field.name])} | {_default(field)} | {_about(field)} |"
            )
    table = "\n".join(rows) + "\n" if len(rows) > 2 else ""
    return f"### {title}\n\n{inspect.getdoc(kind)}\n\n{table}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        value = field.default
        if isinstance(value, msgspec.Struct):
            return "all defaults"
        return "nil" if value is None else f"`{msgspec.json.encode(value).decode()}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return "empty"
    return "required"


def _metas(kind: Any) -> Iterable[msgspec.Meta]:
    if get_origin(kind) is Annotated:
        base, *metas = get_args(kind)
        yield from metas
        yield from _metas(base)
    elif type(None) in get_args(kind):
        for part in get_args(kind):
            yield from _metas(part)


def _about(field: msgspec.structs.FieldInfo) -> str:
    return next((meta.description for meta in _metas(field.type) if meta.description), "").replace("|", "\\|")


def _type(kind: Any) -> str:
    """Return a type as people read it, with its range."""
    if get_origin(kind) is Annotated:
        ranges = [text for meta in _metas(kind) if (text := _range(meta))]
        return " ".join([_type(get_args(kind)[0]), *ranges])
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    arguments = get_args(kind)
    if type(None) in arguments:
        return " or ".join([*(_type(part) for part in arguments if part is not type(None)), "nil"])
    if get_origin(kind) is list:
        return f"array of {_type(arguments[0])}"
    if get_origin(kind) is dict:
        return f"map of {_type(arguments[0])} to {_type(arguments[1])}"
    names = {int: "int", float: "float", str: "str", bool: "bool"}
    return names.get(kind) or f"`{kind.__name__}`"


def _range(meta: msgspec.Meta) -> str:
    words = [
        ("≥", meta.ge),
        (">", meta.gt),
        ("≤", meta.le),
        ("<", meta.lt),
        ("at least", meta.min_length),
        ("at most", meta.max_length),
    ]
    return ", ".join(f"{word} {limit}" for word, limit in words if limit is not None)


def _segments() -> str:
    first, header, pixel = segment.FIRST_SLOT_OFFSET, segment.SLOT_HEADER_BYTES, segment.BYTES_PER_PIXEL
    return f"""# Segments

POSIX shared memory, mode 0600, names `limner-UID-HASH-RANDOM`: HASH are the first 8 hex digits of
the SHA-256 of the runtime folder's absolute path, RANDOM 32 hex digits. Two a session: input
(the client writes) and output (the worker writes). All numbers little-endian; a header of zeros is invalid.

| offset | size | field | value |
|---|---|---|---|
| 0 | 4 | magic | `LMNR`, {segment.MAGIC:#x} |
| 4 | 4 | abi | {segment.ABI} |
| 8 | 4 | generation | as in `welcome`, not 0 |
| 12 | 4 | slot_count | 1..{segment.MAX_SLOTS} |
| 16 | 4 | slot_stride | {header} + width × height × {pixel}, rounded up to {segment.PAGE_BYTES} |
| 20 | 4 | format | {segment.FORMAT_RGBA8}: RGBA, 8 bits each, sRGB |
| 24 | 4 | width | 1..{segment.MAX_SIDE} pixels |
| 28 | 4 | height | 1..{segment.MAX_SIDE} pixels |
| 32 | 4 | direction | {segment.DIRECTION_INPUT} input, {segment.DIRECTION_OUTPUT} output |
| {first} + i × slot_stride | {header} | header of slot i | sequence u64, pts_ns u64, flags u32, zeros |
| … + {header} | width × height × {pixel} | pixels of slot i | rows from the top, no padding |

The segment's size is exactly {first} + slot_count × slot_stride bytes. Whoever opens one checks every number
against the real size. At the start the client owns all input slots and the worker all output slots; a slot
changes hands only by `frame` and `free` (on the worker link `give` and `return`), and only its owner
touches it.
"""


if __name__ == "__main__":
    sys.stdout.write(render())
