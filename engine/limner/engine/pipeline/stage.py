"""What a rank does with its blocks: the caches of all streams in them, the texts, and the forwards.

Legend: R rows (one), N tokens, D width, S text tokens or sinks, T latent frames of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from limner.engine.dit.model import Block, Flow
from limner.engine.fusing import fusing
from limner.engine.graphs import Held, Replayer
from limner.engine.pipeline.loras import RankLoras, ReadyLoras
from limner.engine.pipeline.part_dit import PartDiT
from limner.engine.pipeline.stage_cache import StageCache
from limner.engine.pipeline.texts import StageText
from limner.engine.replayed import RecorderOf, no_recorder


class Stage:
    """The blocks of one rank at work. For one thread."""

    def __init__(
        self, dit: PartDiT, recorder_of: RecorderOf = no_recorder, fused_by: str | None = None
    ) -> None:
        """`fused_by`: the backend that makes chains of small operations one kernel each, see fusing.py."""
        self.dit = dit
        self.fused_by = fused_by
        self.layers = dit.held
        """Blocks that it holds."""
        self.caches: dict[int, StageCache] = {}
        """By stream."""
        self.texts: dict[int, StageText] = {}
        self._recorder_of = recorder_of
        self._replayers: dict[int, Replayer] = {}
        self._held: dict[object, Held] = {}
        self.is_moving = False
        """Blocks come and go every moment: nothing is recorded, for that takes longer than it saves."""

    def open(self, stream: int, rows: int, grid: tuple[int, int], counts: Sequence[int] = ()) -> StageCache:
        """Begin with a stream, or begin it anew; `grid`: tokens down and across.

        `counts`: latent frames that its rows have taken in, when what they left is to be filled in.
        """
        dit = self.dit
        cache = StageCache(dit.config, rows=rows, grid=grid, device=dit.device, dtype=dit.dtype)
        cache.add(self.layers)
        if counts:
            cache.go_on_from(counts)
        self.replace(stream, cache)
        return cache

    def replace(self, stream: int, cache: StageCache) -> None:
        """Another cache for a stream."""
        self.caches[stream] = cache
        self._replayers[stream] = Replayer(self._recorder_of("the transformer"), "the transformer")

    def close(self, stream: int) -> None:
        """A stream is over."""
        self.caches.pop(stream, None)
        self._replayers.pop(stream, None)

    def clear(self) -> None:
        """Forget all streams and texts; the blocks stay."""
        for cache in self.caches.values():
            # Streams hold on to their window, to begin anew with what went in: not to what was made of it.
            cache.drop(cache.layers)
        for state in (self.caches, self.texts, self._replayers, self._held):
            state.clear()

    def set_rows(self, stream: int, rows: int) -> None:
        """As `KVCache.with_rows`."""
        self.replace(stream, self.caches[stream].with_rows(rows))

    def text(self, number: int, text_RSD: Tensor, mask: Tensor | None) -> None:
        """A text that forwards will have. The tensors are its own from now on."""
        self.texts[number] = text = StageText(self.dit, text_RSD, mask)
        text.add(self.layers)

    def forward(self, stream: int, row: int, text: int, frames: int, flow: Flow) -> Tensor:
        """A chunk on a row through the blocks: tokens [R, N, D]. It is part of the row's history then."""
        cache = self.caches[stream]
        cache.begin(rows=range(row, row + 1), frames=frames)
        with fusing(self.fused_by):
            x_RND = self._through(stream, cache, self.texts[text], flow) if self.layers else flow.x_RND
        cache.commit()
        return x_RND

    def hold(self, block_of: Callable[[int], Block], wanted: range) -> None:
        """Hold these blocks and no others; those that it lacks are loaded."""
        self.drop([layer for layer in self.layers if layer not in wanted])
        for layer in wanted:
            if layer not in self.layers:
                self.put({layer: block_of(layer)})

    def put(self, blocks: Mapping[int, Block]) -> None:
        """Hold these blocks as well. Streams remember nothing in them yet, see `StageCache.pair`."""
        self._forget_graphs()
        for layer, block in blocks.items():
            self.dit.put(layer, block)
        self.layers = self.dit.held
        for text in self.texts.values():
            text.add(blocks)
        for cache in self.caches.values():
            cache.add(blocks)

    def drop(self, layers: Iterable[int]) -> None:
        """Hold these no longer."""
        self._forget_graphs()
        for layer in list(layers):
            # They were loaded beside the work, on another queue of the device, and are read on this one.
            in_use(self.dit.drop(layer))
            for text in self.texts.values():
                text.drop([layer])
            for cache in self.caches.values():
                cache.drop([layer])
        self.layers = self.dit.held

    def use_loras(self, loras: RankLoras, ready: ReadyLoras) -> None:
        """Put LoRAs in force. Texts have the keys and values that they have."""
        self.dit.launches = loras.use(ready)

    @property
    def state_shapes(self) -> list[torch.Size]:
        """Of the keys, or values, of one block, for each stream in the order of their numbers."""
        return [self.caches[stream].layer_shape for stream in sorted(self.caches)]

    def moving(self, layers: Iterable[int]) -> list[Tensor]:
        """What all streams remember in these blocks, in an order that all ranks have. To read, or to fill."""
        return [
            tensor
            for layer in layers
            for stream in sorted(self.caches)
            for tensor in self.caches[stream].pair(layer)
        ]

    def _through(self, stream: int, cache: StageCache, text: StageText, flow: Flow) -> Tensor:
        through = partial(self.dit.through, self.layers)
        replayer, phase = self._replayers[stream], cache.steady_phase
        if not replayer.is_on or phase is None or self.is_moving:
            return through(flow, text, cache)
        tensors = text.tensors()
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        held = self._held.setdefault(shapes, Held(tensors))
        held.hold(text, tensors)
        still = text.over(held.buffers)

        def forward(x_RND: Tensor, time_RT6D: Tensor, time_RTD: Tensor) -> Tensor:
            return through(Flow(x_RND, time_RT6D, time_RTD), still, cache)

        key = (phase, flow.x_RND.shape, shapes, self.dit.launches)
        inputs = [flow.x_RND, flow.time_RT6D, flow.time_RTD]
        return replayer.run(key, forward, inputs, alive=(cache, held, still))

    def _forget_graphs(self) -> None:
        self._held.clear()
        for replayer in self._replayers.values():
            replayer.clear()


def in_use(block: Block) -> None:
    """Its memory is not given away before this thread's queue of the device has come here."""
    for tensor in (*block.parameters(), *block.buffers()):
        if tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))


def copied(tensors: Iterable[Tensor], into: Iterable[Tensor]) -> None:
    """Copy each into its counterpart."""
    for tensor, buffer in zip(tensors, into, strict=True):
        buffer.copy_(tensor, non_blocking=True)
