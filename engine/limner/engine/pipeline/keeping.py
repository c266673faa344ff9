"""What a stream over ranks remembers, gathered as one state, and given back: the same as of one process.

Block by block, each once round the ring, so that no rank needs room for more than one block of it. Where the
blocks are may change meanwhile: each is with one rank whenever the ring is asked.

Legend: M layers, R rows, W window frames, L tokens of a latent frame, H heads, K width of a head.
"""

from __future__ import annotations

import torch

from limner.engine.pipeline.courses import Course
from limner.engine.pipeline.ring import Ring
from limner.engine.pipeline.stage_cache import StageCache
from limner.engine.state import StreamState


def kept(ring: Ring, course: Course) -> StreamState:
    """The state of a stream's window, as `Window.state`, keys and values on the host.

    For any thread but the ring's, while the stream has no chunks on their way. PipelineError where the ranks
    fail.
    """
    cache = course.window.cache
    shape, dtype = _shape(cache), ring.first.stage.dit.dtype
    keys_MRNHK, values_MRNHK = (torch.empty(shape, dtype=dtype) for _ in range(2))
    for layer in range(cache.config.layers):
        key, value = ring.past(course, layer).result()
        keys_MRNHK[layer].copy_(key)
        values_MRNHK[layer].copy_(value)
    past = StreamState(
        tensors={"keys": keys_MRNHK, "values": values_MRNHK}, facts={"counts": list(cache.counts)}
    )
    return ring.do(lambda: course.window.state(past).to("cpu")).result()


def give_back(ring: Ring, course: Course, state: StreamState) -> None:
    """Let a stream that has just been opened go on from the state of a window.

    For any thread but the ring's. StateError when it is of another model, PipelineError where the ranks fail.
    """
    cache, past = course.window.cache, state.part("cache")
    shape, dtype = torch.Size(_shape(cache)), ring.first.stage.dit.dtype
    keys_MRNHK, values_MRNHK = (past.checked(name, shape, dtype) for name in ("keys", "values"))
    counts = tuple(int(count) for count in past.fact("counts", list))
    ring.do(lambda: _begin(ring, course, counts, state)).result()
    for layer in range(cache.config.layers):
        ring.past(course, layer, (keys_MRNHK[layer], values_MRNHK[layer])).result()


def _begin(ring: Ring, course: Course, counts: tuple[int, ...], state: StreamState) -> None:
    window = course.window
    course.window = ring.first.window(course.number, window.rows, window.latent_size, counts)
    course.window.restore_inputs(state.part("inputs"))


def _shape(cache: object) -> tuple[int, ...]:
    """[M, R, W*L, H, K], of the keys or the values of a whole cache."""
    assert isinstance(cache, StageCache), "a window of another engine"
    return (cache.config.layers, *cache.layer_shape)
