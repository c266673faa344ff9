"""Where chunks are decoded, as rank 0 has it: beside its own blocks, or on another rank.

What the decoder makes comes back to rank 0 as it leaves the decoder. There it is steadied and scaled: both
are cheap beside decoding, and on another rank they would need the trace of the source, which is as large as
the frames themselves (3 MB each of four frames of 512×512; latents are 0.1 MB).
"""

from __future__ import annotations

import dataclasses
import itertools
import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from torch import Tensor

from limner.engine.clock import Span
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.arrivals import Arrivals
from limner.engine.pipeline.decode_lane import DecodeLane
from limner.engine.pipeline.decoders import (
    Decoders,
    Sized,
    hand_over,
    moving_layout,
    pack_state,
    unpack_state,
)
from limner.engine.pipeline.first import FirstRank
from limner.engine.pipeline.link import (
    DECODERS,
    FRAMES,
    LATENTS,
    Incoming,
    Outgoing,
    receiving_queue,
)
from limner.engine.pipeline.packets import Layout, frames_layout, latents_layout
from limner.engine.pipeline.timing import WorkClock
from limner.engine.queues import Mark, Queue
from limner.engine.state import StreamState
from limner.engine.types import CleanChunk, Decoded


@dataclass(frozen=True)
class _Waiting:
    """A chunk that another rank decodes."""

    clean: CleanChunk
    done: Future[list[CleanChunk]]
    sent_s: float


class DecodePlace:
    """Decodes the chunks of one generation. For the thread that drives."""

    def __init__(
        self, decoders: Decoders, first: FirstRank, driving: Queue, *, rank: int, fused_by: str | None = None
    ) -> None:
        """`driving`: where latents are made. `rank`: decodes at first. `fused_by`: see fusing.py."""
        self.rank, self._first, self._driving = rank, first, driving
        self.on_fault: Callable[[BaseException], object] = lambda _: None
        """Called, on any thread, when the group is broken, or decoders are."""
        self._lane = DecodeLane(decoders, self._failed, fused_by)
        device = decoders.files.device
        self._posting, self._receiving = (receiving_queue(device, "frames") for _ in range(2))
        self._arrivals = Arrivals("limner-decoded", self._receiving, self._failed)
        self._to: dict[tuple[int, int], Outgoing] = {}
        self._from: dict[tuple[int, int], Incoming] = {}
        self._waiting: dict[int, _Waiting] = {}
        """By number. Who takes one out ends it, on whichever thread."""
        self._asked: dict[int, Future[StreamState]] = {}
        """By number: what a decoder of another rank remembers. As `_waiting`."""
        self._numbers = itertools.count()
        self._arrived_s = 0.0
        self._sizes: dict[int, tuple[int, int]] = {}
        """Of the latents of each stream that has a decoder."""

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Of latents that there are decoders for."""
        return sorted(set(self._sizes.values()))

    def decode(self, stream: int, clean: CleanChunk, done: Future[list[CleanChunk]]) -> None:
        """Let a chunk be decoded; `done` gets it with its pictures. Nobody waits."""
        latents_TCHW = clean.latents_TCHW
        self._sizes[stream] = _size(latents_TCHW)
        if self.rank == 0:
            self._decode_here(stream, clean, done)
            return
        number = next(self._numbers)
        self._waiting[number] = _Waiting(clean, done, time.perf_counter())
        self._send(stream, latents_TCHW, begins=clean.is_cut, shows=True)
        answer = frames_layout(len(latents_TCHW), _size(latents_TCHW))
        arriving = self._incoming(FRAMES).expect(answer.size_bytes)
        self._arrivals.put(arriving, lambda packet_B: self._come(number, answer, packet_B))

    def remember(self, stream: int, past: Sequence[Tensor], *, was: int) -> None:
        """A stream of an earlier generation goes on: `was` its number, `past` its last latents [T, C, H, W].

        Where its decoder is still here it goes on as it is; else it sees them again.
        """
        if self.rank == 0:
            mark = self._driving.mark()
            self._lane.do(lambda: self._remember_here(stream, past, was, mark))
        else:
            for number, latents_TCHW in enumerate(past):
                self._send(stream, latents_TCHW, begins=number == 0, shows=False)
        if past:
            self._sizes[stream] = _size(past[-1])

    def reset(self, stream: int) -> None:
        """The next chunk of a stream is its first."""
        if self.rank == 0:
            self._lane.do(lambda: self._lane.decoders.reset(stream))
        else:
            self._first.tell_one(self.rank, c.ResetDecoder(stream=stream))

    def close(self, stream: int) -> None:
        """A stream is over; other ranks have been told so."""
        self._sizes.pop(stream, None)
        self._lane.do(lambda: self._lane.decoders.close(stream))

    def prepare(self) -> Future[None]:
        """Load the decoder on rank 0, beside all else."""
        return self._lane.prepare(self.sizes)

    def past(
        self, stream: int, size: tuple[int, int], given: StreamState | None, found: Future[StreamState]
    ) -> None:
        """What the decoder of a stream remembers, of latents of this size; `given`: from now on, and back.

        Behind the chunks that were begun. StateError in `found` when it is of another decoder.
        """
        files, sized = self._lane.decoders.files, (stream, *size)
        packet_B = self._first.buffers.take(moving_layout(files, [sized]).size_bytes, self._driving)
        if given is not None:
            pack_state(files, sized, given, packet_B)
            self._sizes[stream] = size
        mark = self._driving.mark()
        if self.rank == 0:
            self._lane.do(lambda: self._past_here(sized, packet_B, mark, given, found))
            return
        command = c.DecoderPast(stream=sized, is_asked=given is None, size_bytes=len(packet_B))
        self._first.tell_one(self.rank, command)
        if given is not None:
            line = self._line(self.rank, DECODERS, self._lane.queue)
            self._lane.do(lambda: self._send_past(line, packet_B, mark))
            found.set_result(given)
            return
        number = next(self._numbers)
        self._asked[number] = found
        arriving = self._incoming(DECODERS).expect(len(packet_B))
        self._arrivals.put(arriving, lambda packet_B: self._found(number, sized, packet_B))

    def move(self, target: int) -> None:
        """Decode elsewhere from the next chunk on: the decoder is held there. What was begun comes out."""
        source, decoders = self.rank, self._lane.decoders
        streams = tuple((number, *self._sizes[number]) for number in sorted(self._sizes))
        size_bytes = max(1, moving_layout(decoders.files, streams).size_bytes)
        command = c.MoveDecoders(source=source, target=target, streams=streams, size_bytes=size_bytes)
        for rank in {source, target} - {0}:
            self._first.tell_one(rank, command)
        if source == 0:
            line = self._line(target, DECODERS, self._lane.queue)
            self._lane.do(lambda: hand_over(decoders, command, line, self._first.buffers, self._lane.queue))
        elif target == 0:
            came: queue.SimpleQueue[Tensor | None] = queue.SimpleQueue()
            # Behind the frames that are still on their way here: chunks come out in their order.
            self._arrivals.put(self._incoming(DECODERS).expect(size_bytes), came.put)
            self._lane.do(lambda: self._take_over(streams, came.get()))
        self.rank = target

    def break_off(self, fault: BaseException) -> None:
        """What other ranks were to decode will never come; what is decoded here will."""
        for number in list(self._asked):
            if (asked := self._asked.pop(number, None)) is not None:
                asked.set_exception(fault)
        for number in list(self._waiting):
            if (waiting := self._waiting.pop(number, None)) is not None:
                waiting.done.set_exception(fault)

    def end(self) -> None:
        """End both threads, when what was begun is over: what comes from other ranks is, or is broken off."""
        self._arrivals.end()
        self._arrivals.join()
        self._lane.close()

    def _failed(self, fault: BaseException) -> None:
        self.on_fault(fault)

    def _decode_here(self, stream: int, clean: CleanChunk, done: Future[list[CleanChunk]]) -> None:
        lane, mark, denoised_s = self._lane, self._driving.mark(), time.perf_counter()

        def decode() -> None:
            try:
                lane.queue.after(mark)
                lane.queue.use([clean.latents_TCHW])
                clock, work = lane.clock(), WorkClock(lane.decoders.files.device)
                frames_TCHW = lane.decoders.push(stream, clean.latents_TCHW, begins=clean.is_cut)
                spent = clock.lap()
            except BaseException as fault:  # It belongs to who waits for the chunk.
                done.set_exception(fault)
                return
            self._first.times.coded("decode", spent, work)
            made = Decoded(
                frames_TCHW=frames_TCHW, ready=lane.queue.mark(), spent=spent, denoised_s=denoised_s
            )
            done.set_result([dataclasses.replace(clean, decoded=made)])

        lane.do(decode)

    def _past_here(
        self,
        sized: Sized,
        packet_B: Tensor,
        mark: Mark,
        given: StreamState | None,
        found: Future[StreamState],
    ) -> None:
        lane = self._lane
        try:
            lane.queue.after(mark)
            lane.queue.use([packet_B])
            if given is not None:
                lane.decoders.unpack([sized], packet_B)
            else:
                lane.decoders.pack([sized], packet_B)
            found.set_result(given or unpack_state(lane.decoders.files, sized, packet_B))
        except BaseException as fault:  # It belongs to who waits for it.
            found.set_exception(fault)

    def _send_past(self, line: Outgoing, packet_B: Tensor, mark: Mark) -> None:
        self._lane.queue.after(mark)
        self._lane.queue.use([packet_B])
        line.send(packet_B, again=False)

    def _found(self, number: int, sized: Sized, packet_B: Tensor | None) -> None:
        """On the thread that waits for frames."""
        if packet_B is not None and (found := self._asked.pop(number, None)) is not None:
            found.set_result(unpack_state(self._lane.decoders.files, sized, packet_B))

    def _remember_here(self, stream: int, past: Sequence[Tensor], was: int, mark: Mark) -> None:
        decoders = self._lane.decoders
        if decoders.renumber(was, stream):
            return
        self._lane.queue.after(mark)
        self._lane.queue.use(past)
        for number, latents_TCHW in enumerate(past):
            decoders.push(stream, latents_TCHW, begins=number == 0)

    def _take_over(self, streams: Sequence[Sized], packet_B: Tensor | None) -> None:
        if packet_B is not None:
            self._lane.queue.use([packet_B])
            self._lane.decoders.unpack(streams, packet_B)

    def _send(self, stream: int, latents_TCHW: Tensor, *, begins: bool, shows: bool) -> None:
        frames, channels = latents_TCHW.shape[:2]
        size, dtype = _size(latents_TCHW), self._lane.decoders.files.dtype
        layout = latents_layout(channels, dtype, frames=frames, size=size)
        command = c.Decode(
            stream=stream, frames=frames, size=size, begins=begins, shows=shows, size_bytes=layout.size_bytes
        )
        self._first.tell_one(self.rank, command)
        packet_B = self._first.buffers.take(layout.size_bytes, self._driving)
        layout.views(packet_B)[0].copy_(latents_TCHW)
        self._line(self.rank, LATENTS, self._driving).send(packet_B)

    def _come(self, number: int, layout: Layout, packet_B: Tensor | None) -> None:
        """On the thread that waits for frames. The packet's memory is for the next ones."""
        if packet_B is None:
            return
        now_s = time.perf_counter()
        mine_TCHW = layout.views(packet_B)[0].clone()
        self._first.buffers.give(packet_B, self._receiving)
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        made = Decoded(
            frames_TCHW=mine_TCHW,
            ready=self._receiving.mark(),
            # As long as it was the only one, or the first of those on their way there.
            spent=Span(max(waiting.sent_s, self._arrived_s), now_s),
            denoised_s=waiting.sent_s,
        )
        self._arrived_s = now_s
        waiting.done.set_result([dataclasses.replace(waiting.clean, decoded=made)])

    def _line(self, to: int, way: int, on: Queue) -> Outgoing:
        key = to, way
        if key not in self._to:
            self._to[key] = Outgoing(self._first.transport, to, way, self._first.buffers, on)
        return self._to[key]

    def _incoming(self, way: int) -> Incoming:
        key = self.rank, way
        if key not in self._from:
            self._from[key] = Incoming(
                self._first.transport, self.rank, way, self._first.buffers, self._posting
            )
        return self._from[key]


def _size(latents_TCHW: Tensor) -> tuple[int, int]:
    height, width = latents_TCHW.shape[-2:]
    return height, width
