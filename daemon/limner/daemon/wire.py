"""How messages look on the wire: one msgpack map a message, checked on the way in."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from limner.daemon.faults import explain

VERSION = 1
# Far above any real message; a lying peer must not make us allocate.
MAX_MESSAGE_BYTES = 64 * 1024


class WireError(Exception):
    """A message that cannot be accepted. `code` is for programs, the text names the fault."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Message(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower
):
    """What every message has: `type`, and `v`, the version of the protocol."""

    v: int = VERSION


class _Envelope(msgspec.Struct):
    v: int
    type: str


M = TypeVar("M", bound=Message)
_encoder = msgspec.msgpack.Encoder()
_envelope = msgspec.msgpack.Decoder(_Envelope)


def encode(message: Message) -> bytes:
    """Return the bytes of `message`."""
    return _encoder.encode(message)


class Codec(Generic[M]):
    """Decodes the messages that one direction of one link allows."""

    def __init__(self, *types: type[M]) -> None:
        union: object = types[0]
        for other in types[1:]:
            union = union | other
        self.types = types
        self._by_name = {t.__struct_config__.tag: t for t in types}
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(union)

    def decode(self, data: bytes | memoryview) -> M:
        """Return the message in `data`; raises WireError (garbage, version, unknown_type, invalid)."""
        if len(data) > MAX_MESSAGE_BYTES:
            raise WireError("too_large", f"message of {len(data)} bytes; the limit is {MAX_MESSAGE_BYTES}")
        try:
            envelope = _envelope.decode(data)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
            raise WireError("garbage", f"not a Limner message: {error}") from error
        if envelope.v != VERSION:
            raise WireError(
                "version",
                f"message {envelope.type!r} speaks protocol {envelope.v}, this is protocol {VERSION}; "
                "update the older of filter and daemon",
            )
        if envelope.type not in self._by_name:
            raise WireError("unknown_type", f"unknown message type {envelope.type!r}")
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as error:
            fault = explain(str(error), self._by_name[envelope.type], _as_it_is(data))
            raise WireError("invalid", f"message {envelope.type!r}: {fault}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError("invalid", f"message {envelope.type!r}: {error}") from error


def _as_it_is(data: bytes | memoryview) -> object:
    """Return what a message that is not right holds; None when even that cannot be read."""
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
