"""Every bad message gets one error that names the fault."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.daemon import protocol as p
from limner.daemon import worker_protocol as w
from limner.daemon.wire import MAX_MESSAGE_BYTES, WireError, encode

FRAME = {"type": "frame", "v": 1, "generation": 1, "slot": 0, "sequence": 5, "pts_ns": 7}
HELLO = {
    "type": "hello",
    "v": 1,
    "client": "test 1",
    "name": "camera",
    "role": "filter",
    "pid": 1,
    "source_width": 640,
    "source_height": 360,
    "fps": 30.0,
}


def pack(fields: Any) -> bytes:
    return msgspec.msgpack.encode(fields)


def test_a_good_message_comes_through() -> None:
    assert p.from_client.decode(pack(FRAME)) == p.Frame(generation=1, slot=0, sequence=5, pts_ns=7)
    hello = p.from_client.decode(pack(HELLO | {"settings": {"style": "noir", "strength": 1}}))
    assert isinstance(hello, p.Hello)
    assert hello.settings == p.Change(style="noir", strength=1.0)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "garbage", "truncated"),
        (b"hello", "garbage", "not a Limner message"),
        (bytes(range(256)), "garbage", "not a Limner message"),
        (b"\xc1", "garbage", "not a Limner message"),
        (pack([1, 2]), "garbage", "array"),
        (pack({1: 2}), "garbage", "key"),
        (pack({"v": 1}), "garbage", "type"),
        (pack({"type": "ping"}), "garbage", "`v`"),
        (pack({"type": "ping", "v": "1"}), "garbage", "$.v"),
        (b"\x83\xa1v\x01\xa4type\xa4ping\xa1z" + b"\x91" * 60_000, "garbage", "not a Limner message"),
        (b"\x00" * (MAX_MESSAGE_BYTES + 1), "too_large", str(MAX_MESSAGE_BYTES)),
        (pack(FRAME | {"v": 2}), "version", "protocol 2"),
        (pack(FRAME | {"v": 0}), "version", "protocol 0"),
        (pack({"type": "dance", "v": 1}), "unknown_type", "dance"),
        (pack({"type": "welcome", "v": 1}), "unknown_type", "welcome"),
        (pack(FRAME | {"colour": 3}), "invalid", "colour"),
        (pack({k: v for k, v in FRAME.items() if k != "slot"}), "invalid", "slot"),
        (pack(FRAME | {"slot": -1}), "invalid", "slot "),
        (pack(FRAME | {"slot": 256}), "invalid", "slot "),
        (pack(FRAME | {"slot": "0"}), "invalid", "slot "),
        (pack(FRAME | {"generation": 0}), "invalid", "generation "),
        (pack(FRAME | {"pts_ns": 2**63}), "invalid", "pts_ns "),
        (pack(FRAME | {"sequence": None}), "invalid", "sequence "),
        (pack(HELLO | {"source_width": 0}), "invalid", "source_width "),
        (pack(HELLO | {"source_height": 8193}), "invalid", "source_height "),
        (pack(HELLO | {"fps": float("nan")}), "invalid", "fps "),
        (pack(HELLO | {"fps": float("inf")}), "invalid", "fps "),
        (pack(HELLO | {"role": "king"}), "invalid", "king"),
        (pack(HELLO | {"name": "x" * 201}), "invalid", "name "),
        (pack(HELLO | {"settings": {"strength": float("nan")}}), "invalid", "settings.strength "),
        (pack(HELLO | {"settings": {"steps": 5}}), "invalid", "settings.steps "),
        (pack(HELLO | {"settings": {"prompt": "x" * 1001}}), "invalid", "settings.prompt "),
        (pack(HELLO | {"settings": {"speed": 1}}), "invalid", "speed"),
        (
            pack(HELLO | {"settings": {"steps": 0}}),
            "invalid",
            "steps is 0; it must be a whole number from 1 to 4",
        ),
        (
            pack(HELLO | {"settings": {"strength": float("inf")}}),
            "invalid",
            "is inf; it must be a number from 0",
        ),
        (pack(HELLO | {"settings": {"prompt": "x" * 10_000}}), "invalid", "prompt has 10000 characters"),
        (pack(HELLO | {"settings": {"prompt": "a\0b"}}), "invalid", "without NUL"),
        (pack(HELLO | {"settings": {"mix": [{"prompt": "a"}] * 5}}), "invalid", "mix has 5 entries"),
        (
            pack(HELLO | {"settings": {"mix": [{"prompt": "a", "weight": 0}]}}),
            "invalid",
            "mix[0].weight is 0; it must be a number above 0, at most 1000",
        ),
        (
            pack(HELLO | {"settings": {"mode": "fast"}}),
            "invalid",
            "'fast'; it must be one of auto, throughput",
        ),
        (pack(HELLO | {"settings": {"cuts": 1}}), "invalid", "cuts is 1; it must be true or false"),
        (pack(HELLO | {"settings": {"stesp": 1}}), "invalid", "'stesp' in settings; did you mean 'steps'?"),
        (b"\x82\xa1v\x01\xa4type\xa4\xff\xff\xff\xff", "garbage", "not a Limner message"),
    ],
)
def test_a_bad_message_is_named(data: bytes, code: str, words: str) -> None:
    with pytest.raises(WireError) as caught:
        p.from_client.decode(data)
    assert caught.value.code == code
    assert words in str(caught.value)


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_an_error(data: bytes) -> None:
    for codec in (p.from_client, p.from_daemon, w.from_worker, w.from_daemon):
        with pytest.raises(WireError):
            codec.decode(data)


@given(st.text() | st.sampled_from(["a` - at `$.v", "a` - at `$[0]", "a` - at `$.settings", "[...]"]))
def test_no_key_does_more_than_an_error(key: str) -> None:
    for message in (HELLO | {key: 1}, HELLO | {"settings": {key: {}}}, HELLO | {"settings": {key: [0]}}):
        if key not in HELLO and key not in p.Change.__struct_fields__:
            with pytest.raises(WireError):
                p.from_client.decode(pack(message))


@given(
    st.sampled_from(p.Change.__struct_fields__),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_any_value_is_taken_or_named(name: str, value: Any) -> None:
    try:
        p.from_client.decode(pack(HELLO | {"settings": {name: value}}))
    except WireError as error:
        assert f"settings.{name}" in str(error)


def test_the_value_of_a_map_is_refused_too() -> None:
    report = {"type": "report", "v": 1, "chunks": 1, "busy": False, "memory_bytes": 1}
    with pytest.raises(WireError, match="strengths"):
        w.from_worker.decode(pack(report | {"strengths": {"...": 2.0}}))


@given(st.integers(min_value=0, max_value=len(pack(HELLO)) - 1))
def test_a_message_cut_short_is_garbage_or_invalid(length: int) -> None:
    with pytest.raises(WireError):
        p.from_client.decode(pack(HELLO)[:length])


@pytest.mark.parametrize(
    "message",
    [
        p.Ping(),
        p.Bye(),
        p.Query(),
        p.Free(generation=3, slot=255),
        p.Set(rev=4, change=p.Change(prompt="a warm street"), session="*"),
    ],
)
def test_what_we_encode_we_decode(message: Any) -> None:
    assert p.from_client.decode(encode(message)) == message
