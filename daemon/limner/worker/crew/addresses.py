"""Which of a machine's addresses to use."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def host_of(endpoint: str) -> str:
    """The host in a ZeroMQ address; this machine's own where it has none."""
    if not endpoint.startswith("tcp://"):
        return LOOPBACK
    return endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")


def own_address(towards: str) -> str:
    """The address of this machine that packets to a host leave from; OSError where there is no way to it."""
    family, _, _, _, place = socket.getaddrinfo(towards, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0])
