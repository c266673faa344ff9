"""A question to a worker over several ranks: what they did of late. Over the ranks' own local socket."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import msgspec
import zmq
from msgspec import Meta

from limner.daemon.paths import RANKS_SOCKET, endpoint
from limner.daemon.wire import Message, encode

MOST_S = 30.0
ANSWER_S = 5.0


class TraceWanted(Message, frozen=True, kw_only=True):
    """Answered by one message: a trace in Chrome's format, JSON, of so many seconds until now."""

    seconds: Annotated[float, Meta(gt=0, le=MOST_S)]


class TraceError(Exception):
    """There is no trace to be had; the text says why."""


def ask_for_trace(folder: Path, seconds: float) -> bytes:
    """Return the trace of the last seconds; raises TraceError when there are no ranks, or no answer."""
    if not (folder / RANKS_SOCKET).exists():
        raise TraceError("the model is not spread over several devices, so there is nothing to trace")
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.setsockopt(zmq.IDENTITY, f"trace-{os.getpid()}-{time.monotonic_ns()}".encode())
        dealer.connect(endpoint(RANKS_SOCKET, folder))
        dealer.send(encode(TraceWanted(seconds=seconds)))
        if not dealer.poll(int(ANSWER_S * 1000)):
            raise TraceError(f"the worker did not answer within {ANSWER_S:.0f} s; see `limner status`")
        answer = dealer.recv()
    if not msgspec.json.decode(answer)["traceEvents"]:
        raise TraceError("nothing was painted in that time")
    return answer
