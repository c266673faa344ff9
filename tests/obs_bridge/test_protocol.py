"""The filter's protocol in C, held against the schema in Python, both ways."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from limner.daemon import protocol
from limner.daemon.wire import MAX_MESSAGE_BYTES, VERSION, Message, encode

CHANGE = protocol.Change(
    style="oil painting",
    prompt='a fjörd, "quoted" ✓',
    strength=0.25,
    steps=3,
    seed=2**32 - 1,
    transition_ms=1500,
    mode="latency",
    motion_aware=False,
    motion_low=0.5,
    motion_high=1.25,
    steadiness=0.75,
    bypass=True,
)
SETTINGS = protocol.Settings(
    style="noir ✓",
    prompt="rain, " * 150,
    mix=[protocol.PromptShare(prompt="rain", weight=2), protocol.PromptShare(prompt="neon ✓")],
    strength=0.125,
    steps=4,
    seed=77,
    motion_aware=False,
    bypass=True,
    lora=[protocol.Lora(name="grain ✓", weight=-0.5)],
)
# What a filter must take, and does nothing with: others set it.
UNUSED = {
    "mix",
    "recache",
    "least_steps",
    "chunk",
    "latency_ms",
    "adapt",
    "motion_window",
    "motion_smoothing",
    "motion_hysteresis",
    "cuts",
    "on_air",
    "lora",
}
WELCOME = protocol.Welcome(
    session="Kamera",
    generation=2**32 - 1,
    model="pocket",
    width=320,
    height=8192,
    frames_per_chunk=64,
    input=protocol.SegmentRef(name="limner-0-aa", size_bytes=2**40, slots=8),
    output=protocol.SegmentRef(name="limner-0-bb", size_bytes=4096, slots=256),
    styles=["oil painting", "ü" * 200],
    settings=SETTINGS,
)
FRAME = protocol.Frame(generation=7, slot=255, sequence=2**63 - 1, pts_ns=123456789012345)
FREE = protocol.Free(generation=7, slot=0)
SAYINGS = [
    protocol.Saying(
        code="overloaded", values={"fps": "11", "wanted": "30", "delay": "✓"}, text="Overloaded: 11 fps"
    ),
    protocol.Saying(text="free words; ✓"),
]
STYLES = protocol.Styles(styles=["oil painting", "ü" * 200])
ACCEPTED = protocol.Accepted(
    rev=2**53, session="Kamera", settings=SETTINGS, notes=["first", "second"], sayings=SAYINGS
)
APPLIED = protocol.Applied(rev=3, session="Kamera", chunk=12, pts_ns=99, notes=["words"])
STATUS = protocol.Status(
    session="Kamera",
    state="overloaded",
    sentence="Overloaded: 11 fps",
    sayings=SAYINGS,
    device="NVIDIA ✓",
    progress=0.5,
    fps_in=30,
    fps_out=11.25,
    received=2**32 - 1,
    painted=5,
    dropped=6,
    latency_ms=protocol.Percentiles(p50=100.5, p95=200, p99=300),
    stages_ms={"encode": 1.5, "dit": 20},
    strength=0.4375,
    plan=protocol.Plan(
        steps=1,
        mode="latency",
        chunk=2,
        width=256,
        height=144,
        frame_step=2,
        reduced=True,
        sentence="1 of 2 steps, 256×144",
    ),
    settings=SETTINGS,
)
ERROR = protocol.Error(code="slot", message="slot 300 is out of range", about="frame")
OVERVIEW = protocol.Overview(
    version="0.1.0",
    pid=1,
    uptime_s=1.5,
    worker=protocol.WorkerInfo(state="ready"),
    sessions=[],
    styles=["noir"],
)
FROM_DAEMON: list[Message] = [WELCOME, STYLES, FRAME, FREE, ACCEPTED, APPLIED, STATUS, OVERVIEW, ERROR]


class Tool:
    """The C program: a line in, a line out."""

    def __init__(self, path: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [path],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def ask(self, line: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._process.communicate()[1]
        return answer.removesuffix("\n")

    def decode(self, data: bytes) -> str:
        return self.ask(f"decode {data.hex()}")

    def close(self) -> None:
        errors = self._process.communicate(timeout=60)[1]
        assert self._process.returncode == 0, errors


@pytest.fixture(scope="module")
def tool(tools: Path, tool_environment: dict[str, str]) -> Iterator[Tool]:
    program = Tool(tools / "protocol_tool", tool_environment)
    yield program
    program.close()


# ---- C writes, Python reads


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "hello",
            protocol.Hello(
                client="Limner OBS filter 0.1.0",
                name="Kamera ✓",
                role="filter",
                pid=4242,
                source_width=1920,
                source_height=1080,
                fps=29.97,
                exact_size=True,
                settings=CHANGE,
            ),
        ),
        (
            "hello-plain",
            protocol.Hello(
                client="Limner OBS filter 0.1.0",
                name="Kamera ✓",
                role="filter",
                pid=4242,
                source_width=1920,
                source_height=1080,
                fps=29.97,
            ),
        ),
        ("frame", FRAME),
        ("free", protocol.Free(generation=7, slot=255)),
        ("set", protocol.Set(rev=2**53, change=CHANGE, session="*")),
        ("reset", protocol.Reset()),
        ("query", protocol.Query()),
        ("ping", protocol.Ping()),
        ("bye", protocol.Bye()),
    ],
)
def test_c_writes_what_python_reads(kind: str, expected: Message, tool: Tool) -> None:
    data = bytes.fromhex(tool.ask(f"encode {kind}"))
    assert protocol.from_client.decode(data) == expected
    assert set(msgspec.msgpack.decode(data)) >= {"v", "type"}


def test_c_writes_every_client_message() -> None:
    covered = {
        protocol.Hello,
        protocol.Frame,
        protocol.Free,
        protocol.Set,
        protocol.Reset,
        protocol.Query,
        protocol.Ping,
        protocol.Bye,
    }
    # Said by the control of OBS, never by a filter.
    assert covered | {protocol.Obs} == set(protocol.CLIENT_TO_DAEMON)


# ---- Python writes, C reads


def _flatten(message: Message) -> dict[str, str]:
    """Return a message's fields as the C program prints them."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    settings = {k: v for k, v in fields.pop("settings", {}).items() if k not in UNUSED}
    latency = fields.pop("latency_ms", {})
    # Notes are shown by their sayings; those of `applied` come with each status too.
    for unused in ("stages_ms", "strength", "plan", "notes"):
        fields.pop(unused, None)
    for index, saying in enumerate(fields.pop("sayings", [])):
        values = {f"values.{name}": text for name, text in saying["values"].items()}
        for key, text in ({"code": saying["code"], "text": saying["text"]} | values).items():
            fields[f"sayings.{index}.{key}"] = text
    for name in ("input", "output"):
        for key, value in fields.pop(name, {}).items():
            fields[f"{name}.{key}"] = value
    for index, style in enumerate(fields.pop("styles", [])):
        fields[f"styles.{index}"] = style
    flat = fields | settings | latency
    del flat["v"], flat["type"]
    state = {"state": flat.pop("state")} if "state" in flat else {}
    return state | {key: _as_printed(value) for key, value in flat.items()}


def _as_printed(value: object) -> str:
    if isinstance(value, str):
        return value.encode().hex()
    if isinstance(value, bool):
        return str(int(value))
    return repr(float(value)) if isinstance(value, float) else str(value)


def _numbers(fields: dict[str, str]) -> dict[str, str | float]:
    """Make printed reals comparable: 30 and 30.0 are one."""
    keys = {"strength", "progress", "fps_in", "fps_out", "p50", "p95", "p99"}
    keys |= {"motion_low", "motion_high", "steadiness"}
    return {key: float(value) if key in keys else value for key, value in fields.items()}


@pytest.mark.parametrize("message", FROM_DAEMON, ids=lambda m: type(m).__name__)
def test_c_reads_what_python_writes(message: Message, tool: Tool) -> None:
    verdict, kind, *fields = tool.decode(encode(message)).split(" ")
    assert (verdict, kind) == ("ok", type(message).__name__.lower())
    if not isinstance(message, protocol.Overview):
        printed = dict(field.split("=", 1) for field in fields)
        assert _numbers(printed) == _numbers(_flatten(message))


def test_c_reads_every_daemon_message() -> None:
    assert {type(message) for message in FROM_DAEMON} == set(protocol.DAEMON_TO_CLIENT)


def test_a_filter_sends_or_leaves_each_setting() -> None:
    names = set(protocol.Change.__struct_fields__)
    assert set(protocol.Settings.__struct_fields__) == names
    assert set(msgspec.to_builtins(CHANGE)) == names - UNUSED


def test_settings_left_out_are_the_schemas_defaults(tool: Tool) -> None:
    body = msgspec.msgpack.encode(
        {"type": "status", "v": VERSION, "session": "a", "state": "off", "sentence": "b"}
    )
    printed = tool.decode(body)
    assert " strength=0.5 steps=1 seed=0 motion_aware=1 bypass=0" in printed


# ---- what must be refused, with one named error each


def _with(message: Message, **changes: object) -> bytes:
    fields = msgspec.msgpack.decode(encode(message))
    for key, value in changes.items():
        place, names = fields, key.split("__")
        for name in names[:-1]:
            place = place[name]
        place[names[-1]] = value
    return msgspec.msgpack.encode(fields)


def _without(message: Message, key: str) -> bytes:
    fields = msgspec.msgpack.decode(encode(message))
    del fields[key]
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    ("data", "code", "named"),
    [
        (_with(FRAME, v=2), "version", "protocol 2"),
        (_with(FRAME, type="frobnicate"), "unknown_type", "frobnicate"),
        (_with(FRAME, type="hello"), "unknown_type", "hello"),
        (_with(FRAME, v="1"), "garbage", "'v'"),
        (_with(FRAME, v=-1), "garbage", "'v'"),
        (_with(FRAME, extra=1), "invalid", "unknown key 'extra'"),
        (_with(WELCOME, settings__extra=1), "invalid", "unknown key 'extra'"),
        (_with(WELCOME, input__extra=1), "invalid", "unknown key 'extra'"),
        (_with(FRAME, slot=256), "invalid", "'slot' is 256"),
        (_with(FRAME, slot=-1), "invalid", "'slot' is -1"),
        (_with(FRAME, slot="3"), "invalid", "'slot'"),
        (_with(FRAME, slot=None), "invalid", "'slot'"),
        (_with(FRAME, generation=0), "invalid", "'generation' is 0"),
        (_with(FRAME, pts_ns=2**63), "invalid", "'pts_ns'"),
        (_with(FRAME, sequence=1.5), "invalid", "'sequence'"),
        (_without(FRAME, "pts_ns"), "invalid", "'pts_ns' is missing"),
        (_without(FRAME, "type"), "garbage", "'type'"),
        (_with(WELCOME, width=8193), "invalid", "'width' is 8193"),
        (_with(WELCOME, height=0), "invalid", "'height' is 0"),
        (_with(WELCOME, input__size_bytes=4095), "invalid", "'size_bytes' is 4095"),
        (_with(WELCOME, input__slots=257), "invalid", "'slots' is 257"),
        (_with(WELCOME, input=[]), "invalid", "input"),
        (_with(WELCOME, session="x" * 201), "invalid", "'session' has 201 characters"),
        (_with(WELCOME, styles=["x"] * 257), "invalid", "'styles' has 257"),
        (_with(WELCOME, styles=["x" * 201]), "invalid", "'styles'"),
        (_with(WELCOME, styles=[1]), "invalid", "'styles'"),
        (_with(WELCOME, settings__strength=1.01), "invalid", "'strength'"),
        (_with(WELCOME, settings__strength=float("nan")), "invalid", "'strength'"),
        (_with(WELCOME, settings__steps=5), "invalid", "'steps' is 5"),
        (_with(WELCOME, settings__prompt="x" * 1001), "invalid", "'prompt' has 1001"),
        (_with(WELCOME, settings__bypass=1), "invalid", "'bypass'"),
        (_with(STATUS, state="asleep"), "invalid", "'state'"),
        (_with(STATUS, fps_out=float("inf")), "invalid", "'fps_out'"),
        (_with(STATUS, stages_ms={"dit": "slow"}), "invalid", "'stages_ms'"),
        (_with(STATUS, progress=2), "invalid", "'progress'"),
        (_with(STATUS, sayings=[{"text": "x"}] * 9), "invalid", "'sayings' has 9"),
        (_with(STATUS, sayings=[{"code": "x"}]), "invalid", "'text' is missing"),
        (_with(STATUS, sayings=[{"text": "x", "extra": 1}]), "invalid", "unknown key 'extra'"),
        (_with(STATUS, sayings=[{"text": "x", "values": {"a": 1}}]), "invalid", "'values' is not text"),
        (
            _with(STATUS, sayings=[{"text": "x", "values": dict.fromkeys("abcdefg", "")}]),
            "invalid",
            "'values' has 7",
        ),
        (_with(STYLES, styles=["x"] * 257), "invalid", "'styles' has 257"),
        (b"", "garbage", "msgpack"),
        (b"\xc1", "garbage", "msgpack"),
        (b"hello", "garbage", "msgpack"),
        (b"\x93\x01\x02\x03", "garbage", "no map"),
        (encode(FRAME) + b"\x00", "garbage", "msgpack"),
        (b"\x91" * 40 + b"\x01", "garbage", "msgpack"),
        (b"\xdd\xff\xff\xff\xff", "garbage", "msgpack"),
        (b"\xdf\xff\xff\xff\xff" + b"\x01" * 50, "garbage", "msgpack"),
        (b"\xdb\xff\xff\xff\xffabc", "garbage", "msgpack"),
        (b"\x00" * (MAX_MESSAGE_BYTES + 1), "too_large", str(MAX_MESSAGE_BYTES)),
    ],
)
def test_bad_message_is_one_named_error(data: bytes, code: str, named: str, tool: Tool) -> None:
    answer = tool.decode(data)
    assert answer.startswith(f"error {code} ")
    assert named in answer


def test_bad_utf8_and_doubled_keys_are_refused(tool: Tool) -> None:
    data = encode(ERROR)
    assert tool.decode(data.replace(b"slot 300", b"slot\xff300")).startswith("error invalid")
    assert data[:1] == b"\x85"
    doubled = b"\x86" + data[1:] + msgspec.msgpack.encode("code") + msgspec.msgpack.encode("again")
    assert "'code' is there twice" in tool.decode(doubled)


@pytest.mark.parametrize("message", FROM_DAEMON, ids=lambda m: type(m).__name__)
def test_truncated_at_every_byte(message: Message, tool: Tool) -> None:
    data = encode(message)
    for length in range(len(data)):
        assert tool.decode(data[:length]).startswith("error garbage ")


def test_random_bytes_never_harm(tool: Tool) -> None:
    chance = random.Random(20)
    for _ in range(1500):
        data = chance.randbytes(chance.randrange(0, 200))
        assert tool.decode(data).startswith("error ")


def test_mutated_messages_never_harm(tool: Tool) -> None:
    chance = random.Random(21)
    for _ in range(3000):
        data = bytearray(encode(chance.choice(FROM_DAEMON)))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    data[at : at + chance.randrange(1, 9)] = chance.randbytes(chance.randrange(0, 9))
                case _:
                    data[at : at + 5] = b"\xdd" + struct.pack(">I", chance.choice([2**32 - 1, 2**16, 300]))
        if not data:
            continue
        assert tool.decode(bytes(data)).split(" ")[0] in ("ok", "error")
