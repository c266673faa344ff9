"""The stages of one stream that graphs replay: the two halves of the autoencoder, and the transformer.

Each is what it is without graphs; with them, what comes again chunk after chunk is one launch. What comes
rarely (a stream's or scene's beginning, a mix of texts in one forward) runs as usual: recording it would cost
more time, in the middle of a live stream, than it would ever give back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from torch import Tensor

from limner.engine.dit.context import TextContext
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.together import Rows, velocities
from limner.engine.graphs import Held, Recorder, Replayer
from limner.engine.parts import VaeStream
from limner.engine.state import StreamState

Stage = Literal["the encoder", "the transformer", "the decoder"]
RecorderOf = Callable[[Stage], Recorder | None]
"""The recorder of a stage. Each has its own, since stages run at the same time; None: no graphs."""

MOST_TEXT_SHAPES = 4
"""Kept at once. Wan's texts have one shape; those of `pocket` have as many tokens as words."""


def no_recorder(_: Stage) -> None:
    """`RecorderOf` of who wants no graphs."""


class ReplayedVaeStream:
    """A `VaeStream`, replayed from its third push on. The first after a reset primes, which no other does."""

    def __init__(self, inner: VaeStream, recorder_of: RecorderOf, stage: Stage) -> None:
        self._inner = inner
        self._replayer = Replayer(recorder_of(stage), stage)
        self._is_primed = False

    def push(self, x: Tensor, /) -> Tensor:
        """As the inner one."""
        key = (x.shape, x.dtype) if self._is_primed else None
        out = self._replayer.run(key, self._inner.push, [x])
        self._is_primed = True
        return out

    def state(self) -> StreamState:
        """As the inner one."""
        return self._inner.state()

    def restore(self, state: StreamState) -> None:
        """As the inner one."""
        self._inner.restore(state)
        self._is_primed = False  # The state may be that of a stream which had not begun.

    def reset(self) -> None:
        """As the inner one."""
        self._inner.reset()
        self._is_primed = False


class ReplayedForward:
    """The transformer's forward for rows of one stream; replayed once its window is full."""

    def __init__(self, dit: CausalDiT, recorder_of: RecorderOf = no_recorder) -> None:
        self._dit = dit
        stage: Stage = "the transformer"
        self._replayer = Replayer(recorder_of(stage), stage)
        self._held: dict[object, Held] = {}

    def __call__(self, rows: Rows) -> Tensor:
        """Velocity [R, T, C, H, W] of rows that are alone in their forward, float32."""
        phase = rows.history.steady_phase if isinstance(rows.history, KVCache) else None
        text = rows.texts[0]
        if not self._replayer.is_on or phase is None or any(other is not text for other in rows.texts):
            return velocities(self._dit, [dataclasses.replace(rows, alone=None)])[0]
        shapes = _shapes(text)
        held = self._held_for(shapes, text)
        texts = [_over(held, text)] * len(rows.texts)

        def forward(x_RTCHW: Tensor, told_R: Tensor) -> Tensor:
            still = Rows(x_RTCHW, told_R, texts, rows.history)
            return velocities(self._dit, [still])[0]

        key = (phase, rows.x_RTCHW.shape, shapes, self._dit.launches)
        return self._replayer.run(key, forward, [rows.x_RTCHW, rows.told_R], alive=(rows.history, held))

    def clear(self) -> None:
        """Forget all graphs: there is another cache, or the weights lie elsewhere."""
        self._replayer.clear()

    def _held_for(self, shapes: object, text: TextContext) -> Held:
        """Buffers with this text in them."""
        if shapes not in self._held:
            if len(self._held) >= MOST_TEXT_SHAPES:
                self._held.clear()
                self._replayer.clear()
            self._held[shapes] = Held(_tensors(text))
        held = self._held[shapes]
        held.hold(text, _tensors(text))
        return held


def _tensors(text: TextContext) -> list[Tensor]:
    return [*text.keys, *text.values, *([] if text.mask is None else [text.mask])]


def _shapes(text: TextContext) -> object:
    return tuple((tensor.shape, tensor.dtype) for tensor in _tensors(text))


def _over(held: Held, text: TextContext) -> TextContext:
    layers = len(text.keys)
    return TextContext(
        keys=held.buffers[:layers],
        values=held.buffers[layers : 2 * layers],
        mask=None if text.mask is None else held.buffers[-1],
        source=text.source,
    )
