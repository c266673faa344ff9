"""A session of the Python client: what `limner demo` and the benches paint through.

It does what the OBS filter does: a DEALER socket for messages, shared memory for pixels, slots that change
hands by message. One thread uses it; nothing here starts one. Whoever holds a `ClientSession` calls `receive`
at least every second, which also says the heartbeat.
"""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from typing import Self

import msgspec

from limner.daemon.client import ANSWER_S, Client, ClientError, version
from limner.daemon.protocol import (
    MAX_NAME_CHARS,
    Accepted,
    Applied,
    Bye,
    Change,
    Error,
    Frame,
    Free,
    Hello,
    Status,
    Welcome,
)
from limner.daemon.segment import Segment, SegmentError


class PaintedFrame:
    """A painted frame in its output slot; `release` it (or use it as a context) to give the slot back."""

    def __init__(self, session: ClientSession, message: Frame, pixels: memoryview, received_ns: int) -> None:
        self.sequence = message.sequence
        self.pts_ns = message.pts_ns
        self.received_ns = received_ns
        self.pixels = pixels
        """Bytes of height × width × 4 RGBA, valid until `release`."""
        self._session = session
        self._slot = message.slot

    @property
    def latency_ns(self) -> int:
        """From the frame's presentation time to its arrival here, ns (one monotonic clock on both sides)."""
        return self.received_ns - self.pts_ns

    def release(self) -> None:
        """Give the slot back; harmless when done already."""
        if self._slot >= 0:
            self._session._free_output(self._slot)
            self._slot = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


Event = PaintedFrame | Status | Accepted | Applied | Error


class ClientSession(Client):
    """A session: frames go in, painted frames come out. Pixels lie in shared memory."""

    def __init__(self, hello: Hello, runtime_dir: Path | None = None) -> None:
        """Connect, say `hello`, map the segments; raises NoDaemonError, RefusedError, ClientError."""
        super().__init__(runtime_dir)
        self._segments: list[Segment] = []
        try:
            self._link.send(hello)
            self.welcome = self._answer(Welcome, lambda _: True, "hello", ANSWER_S)
            self._link.heartbeat_expected = True
            self._input = self._open(self.welcome.input.name)
            self._output = self._open(self.welcome.output.name)
        except BaseException:
            self.close()
            raise
        self._free_slots = deque(range(self._input.layout.slot_count))
        self._next_sequence = 0

    def _open(self, name: str) -> Segment:
        try:
            segment = Segment.open(name)
        except SegmentError as error:
            raise ClientError(str(error)) from error
        self._segments.append(segment)
        layout, welcome = segment.layout, self.welcome
        if (layout.width, layout.height) != (welcome.width, welcome.height):
            raise ClientError(
                f"segment {name} is {layout.width}×{layout.height}, "
                f"the daemon promised {welcome.width}×{welcome.height}"
            )
        return segment

    # ---- frames in

    @property
    def in_flight(self) -> int:
        """Number of input slots that the other side holds."""
        return self._input.layout.slot_count - len(self._free_slots)

    def acquire(self) -> int | None:
        """Return an input slot to write to, or None when the other side holds them all."""
        return self._free_slots.popleft() if self._free_slots else None

    def input_pixels(self, slot: int) -> memoryview:
        """Return the writable bytes (height × width × 4, RGBA) of a slot from `acquire`."""
        return self._input.pixels(slot)

    def give(self, slot: int, *, sequence: int, pts_ns: int) -> None:
        """Hand a written slot over."""
        self._input.write_slot_header(slot, sequence=sequence, pts_ns=pts_ns)
        self._link.send(
            Frame(generation=self.welcome.generation, slot=slot, sequence=sequence, pts_ns=pts_ns)
        )

    def send_frame(
        self, pixels: bytes | memoryview, pts_ns: int | None = None, *, sequence: int | None = None
    ) -> bool:
        """Copy one RGBA frame of the working size and hand it over; False: dropped, no slot is free.

        `pts_ns` is CLOCK_MONOTONIC (default: now). `sequence` defaults to a count of the calls, dropped ones
        included, so a painted frame's sequence tells which call it came from.
        """
        number = self._next_sequence if sequence is None else sequence
        self._next_sequence = number + 1
        data = memoryview(pixels).cast("B")
        if len(data) != self._input.layout.frame_bytes:
            raise ValueError(
                f"a frame of {self.welcome.width}×{self.welcome.height} RGBA has "
                f"{self._input.layout.frame_bytes} bytes, not {len(data)}"
            )
        if (slot := self.acquire()) is None:
            return False
        with self.input_pixels(slot) as target:
            target[:] = data
        self.give(slot, sequence=number, pts_ns=time.monotonic_ns() if pts_ns is None else pts_ns)
        return True

    # ---- painted frames and messages out

    def receive(self, timeout_s: float = 0.0) -> Event | None:
        """Return the next painted frame or message, None after `timeout_s`; raises DaemonLostError.

        Slots that come back are counted without an event, but end the wait: None may come early.
        """
        while (message := self.receive_message(timeout_s)) is not None:
            if isinstance(message, Free):
                self._take_back(message)
                timeout_s = 0.0
            elif isinstance(message, Frame):
                if message.generation == self.welcome.generation:
                    return PaintedFrame(
                        self, message, self._painted_pixels(message.slot), time.monotonic_ns()
                    )
            elif isinstance(message, Status | Accepted | Applied | Error):
                return message
        return None

    def _painted_pixels(self, slot: int) -> memoryview:
        try:
            return self._output.pixels(slot).toreadonly()
        except SegmentError as error:
            raise ClientError(f"the daemon sent a wrong slot: {error}") from error

    def _take_back(self, message: Free) -> None:
        known = 0 <= message.slot < self._input.layout.slot_count and message.slot not in self._free_slots
        if message.generation == self.welcome.generation and known:
            self._free_slots.append(message.slot)

    def _free_output(self, slot: int) -> None:
        if not self._link.closed:
            self._link.send(Free(generation=self.welcome.generation, slot=slot))

    def close(self) -> None:
        """Say goodbye, unmap; a daemon that died cannot remove the segments' names, so they go here."""
        if not self._link.closed and not self._link.lost:
            self._link.send(Bye())
        for segment in self._segments:
            segment.close()
            if self._link.lost:
                segment.unlink()
        self._segments = []
        super().close()


def hello_for(
    name: str, role: str, size: tuple[int, int], fps: float, settings: Change, *, exact_size: bool = False
) -> Hello:
    """Return a `hello` of this process for a source of (width, height) pixels at `fps`.

    Raises msgspec.ValidationError for a value out of range: Structs are checked only when converted.
    """
    raw = {
        "type": "hello",
        "client": f"limner {version()}",
        # A file's name may hold bytes that are no text.
        "name": name.encode(errors="replace").decode()[:MAX_NAME_CHARS],
        "role": role,
        "pid": os.getpid(),
        "source_width": size[0],
        "source_height": size[1],
        "fps": fps,
        "exact_size": exact_size,
        "settings": msgspec.to_builtins(settings),
    }
    return msgspec.convert(raw, Hello)
