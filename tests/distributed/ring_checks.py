"""What has to hold of ranks whatever each of them does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tests.distributed.rings import Ranks, pipelined
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of
from torch import Tensor

from limner.engine.engine import Engine

CHANGES: Mapping[str, Mapping[int, Mapping[str, Any]]] = {
    "prompts": {3: {"prompt": "neon"}, 6: {"prompt": "warm oil"}},
    "transition": {3: {"prompt": "neon", "transition_frames": 16}},
    "recache": {7: {"prompt": "neon", "recache": True}},
    "steps": {3: {"steps": 3}, 5: {"steps": 1}, 7: {"steps": 4}},
    "lengths": {2: {"chunk_latents": 2}, 4: {"chunk_latents": 3}, 7: {"chunk_latents": 1}},
    "sizes": {3: {"size": (32, 32)}, 6: {"size": None}},
    "clean": {3: {"strength": 0.0}, 5: {"strength": 0.7}},
    "seeds": {4: {"seed": 9, "strength": 0.3}},
}
"""Settings that change, and before which chunk."""


def changing(engine: Engine, changes: Mapping[int, Mapping[str, Any]]) -> Tensor:
    """Frames of a stream whose settings change before these chunks."""
    wanted: dict[str, Any] = {"steps": 2, "stream_batch": False}
    stream, out = stream_of(engine, **wanted), []
    for number in range(10):
        if number in changes:
            wanted |= changes[number]
            stream.update(settings_of(**wanted))
        frames = clip(1, seed=number, frames=stream.frames_per_chunk)[0]
        out += [one for one in [stream.push(frames)] if one is not None]
    return frames_of(out)


def cuts_alike(alone: Engine, made: Ranks) -> None:
    """A cut begins anew at the same chunk as in one process, and with the same frames."""
    chunks = [*([clip(1)[0] // 8] * 4), *([255 - clip(1, seed=9)[0] // 8] * 4)]
    expected = painted(stream_of(alone, steps=2, stream_batch=False), chunks)
    got = pipelined(made, chunks, steps=2)
    assert any(one.is_cut for one in expected)
    assert [one.is_cut for one in got] == [one.is_cut for one in expected]
    assert torch.equal(frames_of(got), frames_of(expected))


def forgets_at_reset(made: Ranks) -> None:
    """After a reset a stream paints what it painted at first."""
    chunks, stream = clip(6), stream_of(made.engine, steps=2)
    first = frames_of(painted(stream, chunks))
    stream.reset()
    assert torch.equal(frames_of(painted(stream, chunks)), first)
