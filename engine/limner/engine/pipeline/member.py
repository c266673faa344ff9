"""The loop of every rank but the first: hear commands ahead, compute in their order, pass on.

Two threads. One hears, and gets a buffer ready for each packet as soon as it hears that it will come, while
the other computes. Neither ever waits for a rank that comes after it.
"""

from __future__ import annotations

import queue
import threading
import time

import torch

from limner.engine.clock import StageClock
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.channel import Member
from limner.engine.pipeline.decoders import Decoders
from limner.engine.pipeline.link import (
    ALONG,
    BACK,
    Arriving,
    Buffers,
    Incoming,
    Outgoing,
    Transport,
    receiving_queue,
)
from limner.engine.pipeline.lora_orders import LoraDuty
from limner.engine.pipeline.loras import ReadyLoras
from limner.engine.pipeline.member_decode import MemberDecoding
from limner.engine.pipeline.packets import (
    FlowPacket,
    VelocityPacket,
    moving_layout,
    text_layout,
)
from limner.engine.pipeline.part_dit import BlockFiles
from limner.engine.pipeline.preparing import Preparing
from limner.engine.pipeline.stage import Stage, copied
from limner.engine.pipeline.timing import REPORT_S, StageTimes, WorkClock
from limner.engine.queues import queues_of

_LISTEN_S = 0.1
"""So long after the end the hearing thread may still be there."""
Todo = tuple[c.Command, Arriving | None]


def serve(channel: Member, transport: Transport, files: BlockFiles, stage: Stage, decoders: Decoders) -> None:
    """Work for rank 0 until it says stop; one generation of the group.

    Blocks and decoder that are held stay so, for the next generation. Raises RuntimeError when the group
    breaks, ChannelClosedError when rank 0 is gone, EngineError when a command makes no sense.
    """
    _Serving(channel, transport, files, stage, decoders).run()


class _Serving:
    def __init__(
        self, channel: Member, transport: Transport, files: BlockFiles, stage: Stage, decoders: Decoders
    ) -> None:
        self._channel, self._files, self._stage = channel, files, stage
        self._rank, self._is_last = transport.rank, transport.rank == transport.size - 1
        before, after = self._rank - 1, (self._rank + 1) % transport.size
        hearing, (_, self._queue, _) = receiving_queue(stage.dit.device), queues_of(stage.dit.device)
        self._buffers = Buffers(stage.dit.device)
        self._from_before = Incoming(transport, before, ALONG, self._buffers, hearing)
        self._from_after = Incoming(transport, after, BACK, self._buffers, hearing)
        self._to_after = Outgoing(transport, after, ALONG, self._buffers, self._queue)
        self._to_before = Outgoing(transport, before, BACK, self._buffers, self._queue)
        self._todo: queue.SimpleQueue[Todo | BaseException] = queue.SimpleQueue()
        self._times = StageTimes(self._rank)
        self._preparing = Preparing(files.block)
        self._loras = LoraDuty(files.loras, stage.dit.device)
        self._over = threading.Event()
        self._decoding = MemberDecoding(
            decoders,
            transport,
            self._buffers,
            hearing,
            self._times,
            fused_by=stage.fused_by,
            on_fault=self._todo.put,
        )

    def run(self) -> None:
        hearing = threading.Thread(target=self._hear, name="limner-hearing", daemon=True)
        hearing.start()
        try:
            with torch.inference_mode(), self._queue:
                while self._step():
                    pass
        finally:
            self._over.set()
            hearing.join()
            self._decoding.close()
            self._stage.clear()

    def _hear(self) -> None:
        try:
            while not self._over.is_set():
                message = self._channel.next(_LISTEN_S)
                if message is None:
                    continue
                command = c.command_in(message)
                if not self._decoding.hear(command):
                    self._todo.put((command, self._expected(command)))
                if isinstance(command, c.Stop):
                    return
        except BaseException as fault:  # Whatever it is, the computing thread ends with it.
            self._todo.put(fault)

    def _expected(self, command: c.Command) -> Arriving | None:
        match command:
            case c.Forward() | c.Text() | c.Past():
                return self._from_before.expect(command.size_bytes)
            case c.Move() if command.target == self._rank:
                is_back = command.source > self._rank
                return (self._from_after if is_back else self._from_before).expect(command.size_bytes)
        return None

    def _step(self) -> bool:
        """Do the next command, if there is one; whether there may be more."""
        self._report()
        began_s = time.perf_counter()
        try:
            is_loading = self._preparing.is_loading or self._decoding.is_preparing or self._loras.is_reading
            todo = self._todo.get(timeout=REPORT_S / 10 if is_loading else REPORT_S)
        except queue.Empty:
            self._times.waited(time.perf_counter() - began_s)
            return True
        if isinstance(todo, BaseException):
            raise todo
        (command, arriving), came_s = todo, time.perf_counter()
        packet_B = None if arriving is None else arriving.wait()
        self._times.waited(time.perf_counter() - began_s)
        return self._do(command, packet_B, came_s)

    def _do(self, command: c.Command, packet_B: torch.Tensor | None, came_s: float) -> bool:
        """Whether there may be more. `came_s`: since when it has waited for its packet."""
        match command:
            case c.Forward():
                assert packet_B is not None
                self._forward(command, packet_B)
            case c.Text():
                assert packet_B is not None
                self._text(command, packet_B)
            case c.Past():
                assert packet_B is not None
                self._past(command, packet_B)
            case c.Move():
                self._move(command, packet_B, came_s)
            case c.Stop():
                return False
            case _:
                self._do_without_packet(command)
        return True

    def _do_without_packet(self, command: c.Command) -> None:
        stage = self._stage
        match command:
            case c.Open(stream=stream, rows=rows, grid=grid, counts=counts):
                stage.open(stream, rows, grid, counts)
            case c.Close(stream=stream):
                stage.close(stream)
            case c.Rows(stream=stream, rows=rows):
                stage.set_rows(stream, rows)
            case c.Reset(stream=stream, row=row):
                stage.caches[stream].reset_row(row)
            case c.DropText(text=text):
                del stage.texts[text]
            case c.Hold():
                self._hold(command)
            case c.UseLoras(files=files):
                self._use_loras(self._loras.ready(files))
            case _:
                self._prepare(command)

    def _use_loras(self, ready: ReadyLoras) -> None:
        self._stage.use_loras(self._files.loras, ready)

    def _prepare(self, command: c.Command) -> None:
        """Begin with what is loaded or read beside the work."""
        match command:
            case c.Prepare():
                self._preparing.begin(command)
            case c.PrepareDecoder():
                self._decoding.prepare(command)
            case c.ReadLoras():
                self._loras.read(command)
            case c.Settled():
                self._preparing.clear()
                self._stage.is_moving = False

    def _forward(self, command: c.Forward, packet_B: torch.Tensor) -> None:
        stage, dit = self._stage, self._stage.dit
        config, cache = dit.config, stage.caches[command.stream]
        layout = FlowPacket.layout(
            config, dit.flow_dtype, frames=command.frames, tokens=cache.tokens, votes=command.votes
        )
        packet = FlowPacket.over(layout, packet_B)
        clock, work = StageClock(dit.device), WorkClock(dit.device)
        x_RND = stage.forward(command.stream, command.row, command.text, command.frames, packet.flow)
        self._times.computed(clock.lap(), work)
        if packet.votes_TS is not None:
            packet.votes_TS.add_(cache.votes(command.frames))
        if not self._is_last:
            if x_RND is not packet.flow.x_RND:
                packet.flow.x_RND.copy_(x_RND)
            self._to_after.send(packet_B)
            return
        answer = VelocityPacket.layout(
            config, dit.dtype, frames=command.frames, grid=cache.grid, votes=command.votes
        )
        answer_B = self._buffers.take(answer.size_bytes, self._queue)
        velocity = VelocityPacket.over(answer, answer_B)
        velocity.velocity_RTCHW.copy_(dit.left(x_RND, packet.flow.time_RTD, cache.grid))
        if velocity.votes_TS is not None and packet.votes_TS is not None:
            velocity.votes_TS.copy_(packet.votes_TS)
        self._buffers.give(packet_B, self._queue)
        self._to_after.send(answer_B)

    def _text(self, command: c.Text, packet_B: torch.Tensor) -> None:
        stage, dit = self._stage, self._stage.dit
        text_RSD, *mask = text_layout(dit.config, dit.dtype, command.tokens, command.mask).views(packet_B)
        stage.text(command.text, text_RSD.clone(), mask[0].clone() if mask else None)
        if self._is_last:
            self._buffers.give(packet_B, self._queue)
        else:
            self._to_after.send(packet_B)

    def _past(self, command: c.Past, packet_B: torch.Tensor) -> None:
        cache = self._stage.caches[command.stream]
        layout = moving_layout([cache.layer_shape], self._stage.dit.dtype, 1)
        cache.fill_in(command.layer, layout.views(packet_B), is_asked=command.is_asked)
        self._queue.use([packet_B])
        self._to_after.send(packet_B, again=False)

    def _move(self, command: c.Move, packet_B: torch.Tensor | None, came_s: float) -> None:
        layers, stage = range(command.first, command.end), self._stage
        stage.is_moving = True
        if self._rank not in (command.source, command.target):
            return
        layout = moving_layout(stage.state_shapes, stage.dit.dtype, len(layers))
        if packet_B is not None:
            stage.put(self._preparing.take(command))
            copied(layout.views(packet_B), stage.moving(layers))
            self._queue.use([packet_B])  # It is freed, see `FirstRank.move`.
            took_ms = (time.perf_counter() - came_s) * 1000
            self._channel.report(c.encoded(c.Moved(first=command.first, end=command.end, took_ms=took_ms)))
            return
        packet_B = self._buffers.take(command.size_bytes, self._queue)
        copied(stage.moving(layers), layout.views(packet_B))
        (self._to_after if command.target > self._rank else self._to_before).send(packet_B, again=False)
        stage.drop(layers)

    def _hold(self, command: c.Hold) -> None:
        lora_fault = self._loras.begin(command.loras, self._use_loras)
        self._stage.hold(self._files.block, range(command.first, command.end))
        if command.decodes:
            self._decoding.decoders.hold()
        else:
            self._decoding.decoders.let_go()
        held = c.Held(first=command.first, end=command.end, lora_fault=lora_fault)
        self._channel.report(c.encoded(held))

    def _report(self) -> None:
        is_stuck = self._times.is_stuck(time.perf_counter()) or self._decoding.is_stuck
        times = self._times.due(self._stage.layers)
        # Reports are the sign of life of the whole rank, so there is none when a part of it hangs.
        if times is not None and not is_stuck:
            self._channel.report(c.encoded(times))
            self._to_after.tidy()
            self._to_before.tidy()
        if (decoder := self._decoding.prepared()) is not None:
            self._channel.report(c.encoded(decoder))
        for prepared in self._preparing.news():
            self._channel.report(c.encoded(prepared))
        if (read := self._loras.report()) is not None:
            self._channel.report(c.encoded(read))
