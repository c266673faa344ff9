"""A daemon of a page: opens sessions, "paints" by inverting or copying, and can be made to misbehave.

Run as a program it serves until it is ended: python tests/obs_bridge/fake_daemon.py [--invert].
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import zmq

from limner.daemon import protocol, wire
from limner.daemon.paths import DAEMON_SOCKET, endpoint, ensure_private_dir, runtime_dir, segment_prefix
from limner.daemon.segment import DIRECTION_INPUT, DIRECTION_OUTPUT, Segment, SegmentLayout

STYLES = ["oil painting", "pencil sketch"]
FIRST = protocol.Settings(style="oil painting", prompt="an oil painting", strength=0.5, steps=1)
STATUS_EVERY_S = 0.25


def _nothing(message: wire.Message) -> None:
    return


class FakeDaemon:
    """Serves one client at a time on its own thread. `heard` is called with every message, on that thread."""

    def __init__(
        self,
        folder: Path,
        *,
        invert: bool = True,
        size: tuple[int, int] | None = None,
        answer_hello: bool = True,
        heard: Callable[[wire.Message], None] = _nothing,
    ) -> None:
        ensure_private_dir(folder)
        self.folder, self.invert, self.size, self.heard = folder, invert, size, heard
        self.answer_hello, self.answer_sets = answer_hello, True
        self.state, self.sentence = "live", "Live: the fake daemon paints"
        self.settings = FIRST
        self.painted = 0
        self.hang = threading.Event()
        """While set, it says nothing at all."""
        self._stop = threading.Event()
        self._generation = 0
        self._client = b""
        self._segments: list[Segment] = []
        self._free_output: list[int] = []
        self._outbox: list[bytes] = []
        self._lock = threading.Lock()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        (folder / DAEMON_SOCKET).unlink(missing_ok=True)
        self._socket.bind(endpoint(DAEMON_SOCKET, folder))
        self._thread = threading.Thread(target=self._serve, name="fake-daemon")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, *, leave_segments: bool = False) -> None:
        """End; `leave_segments` as a killed daemon would."""
        self._stop.set()
        self._thread.join()
        self._socket.close(0)
        self._context.term()
        self._drop_segments(leave=leave_segments)

    def say(self, message: wire.Message) -> None:
        """Send a message to the client."""
        self.say_bytes(wire.encode(message))

    def say_bytes(self, data: bytes) -> None:
        """Send anything to the client."""
        with self._lock:
            self._outbox.append(data)

    @property
    def segment_names(self) -> list[str]:
        return [segment.name for segment in self._segments]

    def _drop_segments(self, *, leave: bool = False) -> None:
        for segment in self._segments:
            if not leave:
                segment.unlink()
            segment.close()
        self._segments = []

    def _serve(self) -> None:
        status_due = 0.0
        while not self._stop.is_set():
            if self._socket.poll(5) and not self.hang.is_set():
                while True:
                    try:
                        client, data = self._socket.recv_multipart(zmq.DONTWAIT)
                    except zmq.Again:
                        break
                    self._on_message(client, protocol.from_client.decode(data))
            if self._client and not self.hang.is_set():
                if time.monotonic() >= status_due and self._segments:
                    status_due = time.monotonic() + STATUS_EVERY_S
                    self.say(self.status())
                with self._lock:
                    outbox, self._outbox = self._outbox, []
                for item in outbox:
                    self._socket.send_multipart([self._client, item])

    def status(self) -> protocol.Status:
        return protocol.Status(
            session="fake",
            state=self.state,  # type: ignore[arg-type]
            sentence=self.sentence,
            fps_out=30,
            painted=self.painted,
            settings=self.settings,
        )

    def _on_message(self, client: bytes, message: wire.Message) -> None:
        match message:
            case protocol.Hello():
                self._client = client
                if self.answer_hello:
                    self._open(message)
            case protocol.Frame() if message.generation == self._generation and client == self._client:
                self._paint(message)
            case protocol.Free() if message.generation == self._generation and client == self._client:
                self._free_output.append(message.slot)
            case protocol.Set() if self.answer_sets:
                self.say(protocol.Accepted(rev=message.rev, session="fake", settings=self.settings))
            case protocol.Bye():
                self._client = b""
                self._drop_segments()
        self.heard(message)

    def _open(self, hello: protocol.Hello) -> None:
        self._drop_segments()
        self._generation += 1
        width, height = self.size or (
            (hello.source_width, hello.source_height)
            if hello.exact_size
            else (320, max(16, round(320 * hello.source_height / hello.source_width / 16) * 16))
        )
        refs = []
        for direction, slots in ((DIRECTION_INPUT, 8), (DIRECTION_OUTPUT, 16)):
            layout = SegmentLayout(
                generation=self._generation,
                slot_count=slots,
                width=width,
                height=height,
                direction=direction,
            )
            segment = Segment.create(segment_prefix(self.folder), layout)
            self._segments.append(segment)
            refs.append(protocol.SegmentRef(name=segment.name, size_bytes=layout.size_bytes, slots=slots))
        self._free_output = list(range(16))
        self.say(
            protocol.Welcome(
                session="fake",
                generation=self._generation,
                model="invert" if self.invert else "echo",
                width=width,
                height=height,
                frames_per_chunk=1,
                input=refs[0],
                output=refs[1],
                styles=STYLES,
                settings=self.settings,
            )
        )

    def _paint(self, frame: protocol.Frame) -> None:
        source, painted = self._segments
        if self._free_output:
            slot = self._free_output.pop(0)
            from_rgba = np.frombuffer(source.pixels(frame.slot), np.uint8)
            to_rgba = np.frombuffer(painted.pixels(slot), np.uint8)
            np.subtract(255, from_rgba, out=to_rgba) if self.invert else np.copyto(to_rgba, from_rgba)
            to_rgba[3::4] = 255
            del from_rgba, to_rgba
            self.painted += 1
            self.say(
                protocol.Frame(
                    generation=self._generation, slot=slot, sequence=frame.sequence, pts_ns=frame.pts_ns
                )
            )
        self.say(protocol.Free(generation=self._generation, slot=frame.slot))


def main() -> None:
    with FakeDaemon(runtime_dir(), invert="--invert" in sys.argv) as daemon:
        print(f"fake daemon {os.getpid()} in {daemon.folder}", flush=True)
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main()
