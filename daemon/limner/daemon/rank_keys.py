"""Keys for ranks on other machines: one file, the same on both, that only its owner reads."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import zmq
from zmq.utils import z85

SECRET_MODE = 0o600


class KeyFileError(ValueError):
    """A key file that cannot be used; the text names it and says what to do."""


class KeyPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one side, Z85 of 32 bytes each."""

    public: str
    secret: str


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Both sides' keys: who has the file may join."""

    worker: KeyPair
    rank: KeyPair


def new_keys(path: Path) -> Keys:
    """Write a new key file; raises KeyFileError when there is one already, or it cannot be written."""
    keys = Keys(worker=_pair(), rank=_pair())
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, SECRET_MODE)
    except FileExistsError as error:
        raise KeyFileError(f"{path} is there already; choose another name, or remove it first") from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys)) + b"\n")
    return keys


def read_keys(path: Path) -> Keys:
    """Read a key file; raises KeyFileError when it is not there, not one, or others can read it."""
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"the key file {path} cannot be read: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise KeyFileError(f"the key file {path} can be read by others; run: chmod 600 {path}")
    try:
        keys = msgspec.json.decode(data, type=Keys)
        for pair in (keys.worker, keys.rank):
            for key in (pair.public, pair.secret):
                _check(key)
    except (msgspec.MsgspecError, ValueError, UnicodeEncodeError) as error:
        raise KeyFileError(f"{path} is no key file ({error}); make one with `limner ranks key`") from error
    return keys


def _check(key: str) -> None:
    if len(key) != 40:
        raise ValueError(f"a key of {len(key)} characters, not 40")
    z85.decode(key.encode("ascii"))


def _pair() -> KeyPair:
    public, secret = zmq.curve_keypair()
    return KeyPair(public=public.decode(), secret=secret.decode())
