"""Rank 0's share of each command: tell the others, do its own part, send what they need.

The order of calls here is the order of everything on all ranks.

Legend: R rows (one), T latent frames of a chunk, C latent channels, H×W latent pixels.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from limner.engine.clock import StageClock
from limner.engine.dit.context import TextContext
from limner.engine.dit.model import Block, Flow
from limner.engine.dit.window import Window
from limner.engine.pipeline import commands as c
from limner.engine.pipeline.channel import Coordinator
from limner.engine.pipeline.courses import Course
from limner.engine.pipeline.link import ALONG, BACK, Arriving, Buffers, Incoming, Outgoing, Transport
from limner.engine.pipeline.packets import (
    FlowPacket,
    Layout,
    VelocityPacket,
    mask_kind,
    moving_layout,
    text_layout,
)
from limner.engine.pipeline.stage import Stage, copied
from limner.engine.pipeline.stage_cache import StageCache
from limner.engine.pipeline.texts import EmbeddedText
from limner.engine.pipeline.timing import StageTimes, WorkClock
from limner.engine.queues import Queue

Pair = tuple[Tensor, Tensor]
"""Keys and values."""


@dataclass(frozen=True)
class Answer:
    """What the last rank makes of a forward: on its way, or there already where there is only one rank."""

    layout: Layout
    arriving: Arriving | None
    packet: VelocityPacket | None
    x_TCHW: Tensor
    """What went in."""
    told: Tensor
    era: object
    """Of the row that it went in on, see `Window.era`."""


class FirstRank:
    """Rank 0 of one generation. For one thread; nothing here waits for another rank."""

    def __init__(self, stage: Stage, channel: Coordinator, transport: Transport, queue: Queue) -> None:
        self.stage, self.transport, self.size = stage, transport, transport.size
        self._channel, self._queue = channel, queue
        self.buffers = Buffers(stage.dit.device)
        last = self.size - 1
        self._to_next = Outgoing(transport, 1, ALONG, self.buffers, queue)
        self._from_next = Incoming(transport, 1, BACK, self.buffers, queue)
        self._from_last = Incoming(transport, last, ALONG, self.buffers, queue)
        self._texts: dict[TextContext, int] = {}
        self._numbers = itertools.count()
        self.times = StageTimes(0)

    def tell(self, command: c.Command) -> None:
        """Tell all other ranks."""
        message = c.encoded(command)
        for rank in range(1, self.size):
            self._channel.tell(rank, message)

    def tell_one(self, rank: int, command: c.Command) -> None:
        """Tell one of the others something that no other rank needs to know."""
        self._channel.tell(rank, c.encoded(command))

    def window(
        self, stream: int, rows: int, latent_size: tuple[int, int], counts: tuple[int, ...] = ()
    ) -> Window:
        """A new window for a stream, which remembers nothing. `counts`: as `Stage.open`."""
        dit = self.stage.dit
        grid = dit.grid(*latent_size)
        self.tell(c.Open(stream=stream, rows=rows, grid=grid, counts=counts))
        cache = self.stage.open(stream, rows, grid, counts)
        return Window(
            dit.config,
            rows=rows,
            latent_size=latent_size,
            device=dit.device,
            dtype=dit.dtype,
            cache_of=lambda *_, **__: cache,
        )

    def close(self, stream: int) -> None:
        """A stream is over."""
        self.tell(c.Close(stream=stream))
        self.stage.close(stream)

    def set_rows(self, course: Course, rows: int) -> None:
        """As `Window.set_rows`."""
        self.tell(c.Rows(stream=course.number, rows=rows))
        course.window.set_rows(rows)
        cache = course.window.cache
        assert isinstance(cache, StageCache), "a window of another engine"
        self.stage.replace(course.number, cache)

    def reset_row(self, course: Course, row: int) -> None:
        """As `Window.reset_row`."""
        self.tell(c.Reset(stream=course.number, row=row))
        course.window.reset_row(row)

    def forward(self, course: Course, row: int, x_TCHW: Tensor, told: Tensor, text: TextContext) -> Answer:
        """A chunk on a row through all ranks."""
        dit, cache, frames = self.stage.dit, self.stage.caches[course.number], len(x_TCHW)
        has_votes = cache.may_replace_sinks(row, frames)
        layout = FlowPacket.layout(
            dit.config, dit.flow_dtype, frames=frames, tokens=cache.tokens, votes=has_votes
        )
        command = c.Forward(
            stream=course.number,
            row=row,
            text=self._texts[text],
            frames=frames,
            votes=has_votes,
            size_bytes=layout.size_bytes,
        )
        self.tell(command)
        flow = self._own_blocks(command, course, x_TCHW[None], told.reshape(1))
        votes_TS = cache.votes(frames) if has_votes else None
        answer = VelocityPacket.layout(dit.config, dit.dtype, frames=frames, grid=cache.grid, votes=has_votes)
        went_in = (x_TCHW, told, course.window.era(row))
        if self.size == 1:
            velocity = VelocityPacket(dit.left(flow.x_RND, flow.time_RTD, cache.grid), votes_TS)
            return Answer(answer, None, velocity, *went_in)
        self._send(layout, flow, votes_TS)
        return Answer(answer, self._from_last.expect(answer.size_bytes), None, *went_in)

    def _own_blocks(self, command: c.Forward, course: Course, x_RTCHW: Tensor, told_R: Tensor) -> Flow:
        """Rank 0's part of a forward: what it leaves to the next rank."""
        dit, row = self.stage.dit, command.row
        clock, work = StageClock(dit.device), WorkClock(dit.device)
        flow = dit.entered(x_RTCHW.to(dit.dtype), told_R[:, None].expand(-1, command.frames))
        x_RND = self.stage.forward(command.stream, row, command.text, command.frames, flow)
        course.window.keep(range(row, row + 1), x_RTCHW, told_R)
        self.times.computed(clock.lap(), work)
        return dataclasses.replace(flow, x_RND=x_RND)

    def _send(self, layout: Layout, flow: Flow, votes_TS: Tensor | None) -> None:
        packet_B = self.buffers.take(layout.size_bytes, self._queue)
        packet = FlowPacket.over(layout, packet_B)
        packet.flow.x_RND.copy_(flow.x_RND)
        packet.flow.time_RT6D.copy_(flow.time_RT6D)
        packet.flow.time_RTD.copy_(flow.time_RTD)
        if packet.votes_TS is not None and votes_TS is not None:
            packet.votes_TS.copy_(votes_TS)
        self._to_next.send(packet_B)

    def past(self, stream: int, layer: int, given: Pair | None) -> tuple[Layout, Arriving | None, Tensor]:
        """What a stream remembers in a block: asked for, or `given`. Once round, though it may be here.

        So it comes after all that was on its way. Its place in a packet, and the packet; where there are
        other ranks it is only on its way.
        """
        cache = self.stage.caches[stream]
        layout = moving_layout([cache.layer_shape], self.stage.dit.dtype, 1)
        size_bytes = layout.size_bytes
        self.tell(c.Past(stream=stream, layer=layer, is_asked=given is None, size_bytes=size_bytes))
        packet_B = self.buffers.take(size_bytes, self._queue)
        if given is not None:
            copied(given, layout.views(packet_B))
        cache.fill_in(layer, layout.views(packet_B), is_asked=given is None)
        if self.size == 1:
            return layout, None, packet_B
        self._to_next.send(packet_B, again=False)
        return layout, self._from_last.expect(size_bytes), packet_B

    def know(self, text: TextContext, needed: Callable[[], Collection[TextContext]]) -> None:
        """Let all ranks know a text. `needed`: those that forwards may still have; others are forgotten."""
        if text in self._texts:
            return
        assert isinstance(text, EmbeddedText), "a text of another engine"
        keep = {id(one) for one in needed()}
        for old in [one for one in self._texts if id(one) not in keep]:
            number = self._texts.pop(old)
            self.tell(c.DropText(text=number))
            del self.stage.texts[number]
        self._texts[text] = number = next(self._numbers)
        dit, tokens, kind = self.stage.dit, text.text_RSD.shape[1], mask_kind(text.mask)
        layout = text_layout(dit.config, dit.dtype, tokens, kind)
        command = c.Text(text=number, tokens=tokens, mask=kind, size_bytes=layout.size_bytes)
        self._share(command, layout, [text.text_RSD, *([] if text.mask is None else [text.mask])])
        self.stage.text(number, text.text_RSD, text.mask)

    @property
    def past_bytes(self) -> int:
        """What all streams remember in one block."""
        return moving_layout(self.stage.state_shapes, self.stage.dit.dtype, 1).size_bytes

    @property
    def block_bytes(self) -> int:
        """The weights of one block, as they are in the file or less."""
        return self.stage.dit.block_bytes

    def settle(self) -> None:
        """No more blocks move for now."""
        self.tell(c.Settled())
        self._to_next.tidy()
        self.stage.is_moving = False

    def move(self, layers: range, source: int, target: int, blocks: Mapping[int, Block]) -> None:
        """Blocks change hands between neighbours, with what streams remember in them.

        `blocks`: those that rank 0 gets. It waits for their past then, which is there as soon as the rank
        after it has done what it was told before.
        """
        stage, dtype = self.stage, self.stage.dit.dtype
        stage.is_moving = True
        layout = moving_layout(stage.state_shapes, dtype, len(layers))
        size_bytes = max(layout.size_bytes, 1)
        self.tell(
            c.Move(first=layers.start, end=layers.stop, source=source, target=target, size_bytes=size_bytes)
        )
        if target == 0:
            packet_B = self._from_next.expect(size_bytes).wait()
            stage.put(blocks)
            copied(layout.views(packet_B), stage.moving(layers))
            self._queue.use([packet_B])  # It is freed: all that streams remember in blocks, so it may be GBs.
        elif source == 0:
            packet_B = self.buffers.take(size_bytes, self._queue)
            copied(stage.moving(layers), layout.views(packet_B))
            self._to_next.send(packet_B, again=False)
            stage.drop(layers)

    def _share(self, command: c.Command, layout: Layout, tensors: list[Tensor]) -> None:
        """Send the same to all ranks, from each to the next."""
        if self.size == 1:
            return
        self.tell(command)
        packet_B = self.buffers.take(layout.size_bytes, self._queue)
        for view, tensor in zip(layout.views(packet_B), tensors, strict=True):
            view.copy_(tensor)
        self._to_next.send(packet_B)
