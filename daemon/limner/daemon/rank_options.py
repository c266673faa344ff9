"""Over which devices a model is spread: checked here, carried out by the worker."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

MOST_RANKS = 16
DecodeOn = Literal["auto", "first", "last"]
DECODE_ON: tuple[DecodeOn, ...] = ("auto", "first", "last")
DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,2})?")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d{1,5})")


class RankOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What beside the worker paints with it. The default: nothing."""

    devices: tuple[str, ...] = ()
    """Of the other ranks on this machine: "cpu", "cuda" or "cuda:N"."""
    listen: str = ""
    """HOST:PORT at which ranks on other machines may join; empty: none may."""
    key: str = ""
    """The key file that they need."""
    decode: DecodeOn = "auto"
    """Which rank decodes: the worker itself, the last one, or where measured times say."""

    def __bool__(self) -> bool:
        """There are, or may be, other ranks."""
        return bool(self.devices or self.listen)


def checked(options: RankOptions) -> RankOptions:
    """The options; raises ValueError naming what is wrong."""
    for device in options.devices:
        if device == "auto" or not DEVICE.fullmatch(device):
            raise ValueError(f"a rank's device must be cpu, cuda or cuda:N, not {device!r}")
    if len(options.devices) >= MOST_RANKS:
        raise ValueError(f"there can be {MOST_RANKS} ranks, not {len(options.devices) + 1}")
    if options.listen:
        found = _ADDRESS.fullmatch(options.listen)
        if found is None or not 1 <= int(found[2]) <= 65535:
            raise ValueError(f"ranks join at HOST:PORT (192.168.1.2:7788), not at {options.listen!r}")
        if found[1] in ("0.0.0.0", "[::]"):
            raise ValueError("ranks join at one address of this machine (192.168.1.2:7788), not at all")
        if not options.key:
            raise ValueError("ranks of other machines need a key file; make one with `limner ranks key FILE`")
    elif options.key:
        raise ValueError("a key file is for ranks of other machines; say where they join, too (HOST:PORT)")
    return options


def kind_of(device: str) -> str:
    """The kind of a device: "cpu", "cuda" or "auto"."""
    return device.partition(":")[0]


def rank_options(
    device: str, ranks: int, devices: str, listen: str, key: str, *, decode: str = "auto"
) -> tuple[str, RankOptions]:
    """Return the worker's own device and the other ranks, from what a user wrote.

    `ranks`: how many on this machine, 0: as many as `devices`, which is a list with commas, of all ranks, the
    worker first. `decode`: which of them does. Raises ValueError.
    """
    place = next((one for one in DECODE_ON if one == decode), None)
    if place is None:
        raise ValueError(
            f"the rank that decodes is {', '.join(DECODE_ON[:-1])} or {DECODE_ON[-1]}, not {decode!r}"
        )
    named = tuple(part.strip() for part in devices.split(",")) if devices else ()
    if ranks < 0 or ranks > MOST_RANKS:
        raise ValueError(f"there can be 1 to {MOST_RANKS} ranks, not {ranks}")
    if named and ranks and len(named) != ranks:
        raise ValueError(f"{ranks} ranks have {ranks} devices, not {len(named)}: {devices}")
    if not named and ranks > 1:
        if device not in ("cpu", "auto"):
            raise ValueError(f"say which devices the {ranks} ranks have, such as cuda:0,cuda:1")
        named = ("cpu",) * ranks
    options = checked(RankOptions(devices=named[1:], listen=listen, key=key, decode=place))
    if place != "auto" and not options:
        raise ValueError(f"there is one rank only: {decode!r} is for several (--ranks, --rank-devices)")
    checked(RankOptions(devices=named[:1]))
    if len({kind_of(one) for one in named}) > 1:
        raise ValueError(f"all ranks are cards, or all are processors, not {devices}")
    cards = [one for one in named if one != "cpu"]
    if len(set(cards)) < len(cards):
        raise ValueError(f"each rank has a card of its own, unlike {devices}")
    own = named[0] if named else device
    return own, options
