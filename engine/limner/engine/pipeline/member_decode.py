"""Decoding on a rank that is not the first: latents from rank 0, pictures back, in the order of commands.

What is heard goes to the lane at once, past the thread that computes forwards: that may be at one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from limner.engine.pipeline import commands as c
from limner.engine.pipeline.decode_lane import DecodeLane
from limner.engine.pipeline.decoders import Decoders, hand_over
from limner.engine.pipeline.link import (
    DECODERS,
    FRAMES,
    LATENTS,
    Arriving,
    Buffers,
    Incoming,
    Outgoing,
    Transport,
)
from limner.engine.pipeline.packets import frames_layout, latents_layout
from limner.engine.pipeline.timing import StageTimes, WorkClock
from limner.engine.queues import Queue


class MemberDecoding:
    """One generation of it. `hear` is for the thread that hears, all else for the one that computes."""

    def __init__(
        self,
        decoders: Decoders,
        transport: Transport,
        buffers: Buffers,
        hearing: Queue,
        times: StageTimes,
        *,
        fused_by: str | None,
        on_fault: Callable[[BaseException], object],
    ) -> None:
        """`hearing`: queue of the thread that hears."""
        self.decoders = decoders
        self._lane = DecodeLane(decoders, on_fault, fused_by)
        self._transport, self._buffers, self._hearing, self._times = transport, buffers, hearing, times
        self._latents = Incoming(transport, 0, LATENTS, buffers, hearing)
        self._frames = Outgoing(transport, 0, FRAMES, buffers, self._lane.queue)
        self._preparing: Future[None] | None = None

    @property
    def is_stuck(self) -> bool:
        """It does not get on with what it decodes."""
        return self._lane.is_stuck

    def hear(self, command: c.Command) -> bool:
        """Do what concerns decoding, soon; whether that was all of it."""
        decoders = self.decoders
        match command:
            case c.Decode():
                arriving = self._latents.expect(command.size_bytes)
                self._lane.do(lambda: self._decode(command, arriving))
            case c.ResetDecoder(stream=stream):
                self._lane.do(lambda: decoders.reset(stream))
            case c.MoveDecoders():
                self._move(command)
            case c.DecoderPast():
                self._past(command)
            case c.Close(stream=stream):
                self._lane.do(lambda: decoders.close(stream))
                return False
            case _:
                return False
        return True

    def prepare(self, command: c.PrepareDecoder) -> None:
        """Load the decoder beside all else."""
        self._preparing = self._lane.prepare(command.sizes)

    def prepared(self) -> c.DecoderPrepared | None:
        """What came of it, once."""
        if self._preparing is None or not self._preparing.done():
            return None
        fault, self._preparing = self._preparing.exception(), None
        words = "" if fault is None else f"{type(fault).__name__}: {fault}"[:500]
        return c.DecoderPrepared(fault=words)

    @property
    def is_preparing(self) -> bool:
        """The decoder is being loaded."""
        return self._preparing is not None

    def close(self) -> None:
        """End, when what was begun is over; streams are forgotten, the weights stay."""
        self._lane.close()
        self.decoders.clear()

    def _decode(self, command: c.Decode, arriving: Arriving) -> None:
        lane, channels = self._lane, self.decoders.files.channels
        layout = latents_layout(channels, self.decoders.files.dtype, frames=command.frames, size=command.size)
        packet_B = arriving.wait()
        clock, work = lane.clock(), WorkClock(self.decoders.files.device)
        latents_TCHW = layout.views(packet_B)[0]
        frames_TCHW = self.decoders.push(command.stream, latents_TCHW, begins=command.begins)
        self._times.coded("decode", clock.lap(), work)
        self._buffers.give(packet_B, lane.queue)
        if not command.shows:
            return
        answer = frames_layout(command.frames, command.size)
        answer_B = self._buffers.take(answer.size_bytes, lane.queue)
        answer.views(answer_B)[0].copy_(frames_TCHW)
        self._frames.send(answer_B)

    def _past(self, command: c.DecoderPast) -> None:
        lane, decoders, transport = self._lane, self.decoders, self._transport
        if not command.is_asked:
            arriving = Incoming(transport, 0, DECODERS, self._buffers, self._hearing).expect(
                command.size_bytes
            )
            lane.do(lambda: decoders.unpack([command.stream], arriving.wait()))
            return
        to = Outgoing(transport, 0, DECODERS, self._buffers, lane.queue)

        def send() -> None:
            packet_B = self._buffers.take(command.size_bytes, lane.queue)
            decoders.pack([command.stream], packet_B)
            to.send(packet_B, again=False)

        lane.do(send)

    def _move(self, command: c.MoveDecoders) -> None:
        lane, decoders = self._lane, self.decoders
        if command.target == self._transport.rank:
            line = Incoming(self._transport, command.source, DECODERS, self._buffers, self._hearing)
            arriving = line.expect(command.size_bytes)
            lane.do(lambda: decoders.unpack(command.streams, arriving.wait()))
        else:
            to = Outgoing(self._transport, command.target, DECODERS, self._buffers, lane.queue)
            lane.do(lambda: hand_over(decoders, command, to, self._buffers, lane.queue))
