"""Stream batch and one chunk at a time: the same pictures, and all changes live."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch
from tests.engine.streaming import clip, frames_of, numbers_of, painted, settings_of, stream_of
from tests.engine.tiny import tiny_engine
from torch import Tensor

from limner.engine.engine import Engine
from limner.engine.errors import SettingsError
from limner.engine.stream import Stream
from limner.engine.types import CleanChunk, Painted, PromptShare, StreamSettings


def paint(engine: Engine, chunks: list[Tensor], changes: list[dict[str, Any]]) -> list[Painted]:
    """One chunk for each set of settings."""
    stream = stream_of(engine, **changes[0])
    results = []
    for chunk, change in zip(chunks, changes, strict=True):
        stream.update(settings_of(**change))
        results.append(stream.push(chunk))
    return [result for result in (*results, stream.flush()) if result is not None]


def latents_of(stream: Stream, chunks: list[Tensor]) -> Tensor:
    """What comes out of the denoiser, float."""
    done: list[CleanChunk] = []
    for chunk in chunks:
        done += stream.denoise(stream.encode(chunk)).chunks
    done += stream.denoise(None).chunks
    return torch.stack([chunk.latents_TCHW for chunk in done])


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize(("kind", "sink_threshold"), [("static", 0.0), ("fresh", 0.0), ("fresh", 0.9)])
def test_both_modes_give_the_same_stream(kind: str, sink_threshold: float, steps: int) -> None:
    engine, chunks = tiny_engine(kind=kind, sink_threshold=sink_threshold), clip(12)
    batch = latents_of(stream_of(engine, steps=steps), chunks)
    alone = latents_of(stream_of(engine, steps=steps, stream_batch=False), chunks)
    torch.testing.assert_close(batch, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [2, 3])
def test_both_modes_agree_also_where_settings_change(engine: Engine, steps: int) -> None:
    changes: list[dict[str, Any]] = [{"steps": steps}] * 3 + [
        {"steps": steps, "prompt": "neon", "seed": 9}
    ] * 2
    changes += [{"steps": steps, "strength": 0.0}] * 2 + [{"steps": steps, "strength": 0.3}] * 4
    batch = paint(engine, clip(11), changes)
    alone = paint(engine, clip(11), [{**change, "stream_batch": False} for change in changes])
    difference = frames_of(batch).float() - frames_of(alone).float()
    assert difference.abs().max() <= 1


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_one_chunk_at_a_time_has_no_lag(engine: Engine, steps: int) -> None:
    stream = stream_of(engine, steps=steps, stream_batch=False)
    results = [stream.push(chunk) for chunk in clip(6)]
    assert [(result.chunk, result.chunks) for result in results if result is not None] == [
        (i, 1) for i in range(6)
    ]
    assert stream.flush() is None


def test_switching_to_one_at_a_time_catches_up_at_once(engine: Engine) -> None:
    stream = stream_of(engine, steps=3)
    chunks = clip(8)
    assert [stream.push(chunk) is None for chunk in chunks[:4]] == [True, True, False, False]
    stream.update(settings_of(steps=3, stream_batch=False))
    caught_up = stream.push(chunks[4])
    assert caught_up is not None and (caught_up.chunk, caught_up.chunks) == (2, 3)
    stream.update(settings_of(steps=3))
    assert [stream.push(chunk) is None for chunk in chunks[5:]] == [True, True, False]


@pytest.mark.parametrize("at", [1, 2, 5])
def test_switching_the_mode_does_not_change_the_pictures(engine: Engine, at: int) -> None:
    changes = [{"steps": 3, "stream_batch": i < at or i > at + 3} for i in range(12)]
    switched = frames_of(paint(engine, clip(12), changes)).float()
    steady = frames_of(painted(stream_of(engine, steps=3), clip(12))).float()
    assert (switched - steady).abs().max() <= 1


def drawn(draw: random.Random) -> StreamSettings:
    """Any settings."""
    return settings_of(
        steps=draw.randint(1, 4),
        stream_batch=draw.random() < 0.5,
        chunk_latents=draw.randint(0, 3),
        strength=draw.choice([0.0, 0.4, 0.8]),
        prompt=draw.choice(["oil", "neon", ""]),
        mix=draw.choice([(), (PromptShare(prompt="warm", weight=2.0), PromptShare(prompt="oil neon"))]),
        transition_frames=draw.choice([0, 0, 20]),
        recache=draw.random() < 0.5,
        size=draw.choice([None, None, (32, 32), (32, 16)]),
        seed=draw.choice([1, 2]),
    )


@pytest.mark.parametrize("run", range(8))
def test_any_change_at_any_chunk_loses_nothing(run: int) -> None:
    """Also where the stream moves to another engine now and then: its twin that does not paints the same."""
    engines = [tiny_engine(kind="fresh", sink_threshold=0.5) for _ in range(2)]
    draw, results, frames_in = random.Random(run), list[Painted | None](), 0
    stream, twin = stream_of(engines[0]), stream_of(engines[0])
    for i in range(40):
        if draw.random() < 0.5:
            wanted = drawn(draw)
            stream.update(wanted)
            twin.update(wanted)
        if draw.random() < 0.2:
            moved = stream_of(engines[draw.randint(0, 1)])
            moved.restore(stream.state())
            stream = moved
        chunk = clip(1, seed=i, frames=stream.frames_per_chunk)[0]
        frames_in += len(chunk)
        results.append(stream.push(chunk))
        assert same(results[-1], twin.push(chunk))
    results.append(stream.flush())
    assert same(results[-1], twin.flush())
    done = [result for result in results if result is not None]
    assert numbers_of(done) == list(range(40))
    assert len(frames_of(done)) == frames_in


def same(a: Painted | None, b: Painted | None) -> bool:
    if a is None or b is None:
        return a is b
    about = (a.chunk, a.chunks, a.revision, a.strength) == (b.chunk, b.chunks, b.revision, b.strength)
    return about and torch.equal(a.frames_TCHW, b.frames_TCHW)


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations([1, 2, 3], 2)))
def test_chunk_lengths_change_live(engine: Engine, before: int, after: int) -> None:
    stream = stream_of(engine, chunk_latents=before, steps=2)
    assert stream.frames_per_chunk == 4 * before
    results = [stream.push(chunk) for chunk in clip(4, frames=4 * before)]
    stream.update(settings_of(chunk_latents=after, steps=2))
    assert stream.frames_per_chunk == 4 * after
    results += [stream.push(chunk) for chunk in clip(4, frames=4 * after)] + [stream.flush()]
    done = [result for result in results if result is not None]
    assert numbers_of(done) == list(range(8))
    assert len(frames_of(done)) == 16 * (before + after)


def test_a_chunk_larger_than_the_ring_is_refused_and_the_stream_goes_on(engine: Engine) -> None:
    stream, chunks = stream_of(engine), clip(4)
    results = [stream.push(chunk) for chunk in chunks[:2]]
    with pytest.raises(SettingsError, match="chunk_latents is 4; tiny takes up to 3"):
        stream.update(settings_of(chunk_latents=4))
    results += [stream.push(chunk) for chunk in chunks[2:]]
    whole = frames_of(painted(stream_of(engine), chunks))
    assert torch.equal(frames_of(result for result in results if result is not None), whole)
    with pytest.raises(SettingsError, match="chunk_latents is 4"):
        stream_of(engine, chunk_latents=4)


def test_stages_can_be_called_one_by_one(engine: Engine) -> None:
    chunks = clip(6)
    whole = frames_of(painted(stream_of(engine, steps=2), chunks))
    stream = stream_of(engine, steps=2)
    noised = [stream.encode(chunk) for chunk in chunks]
    finished = [stream.denoise(chunk) for chunk in noised] + [stream.denoise(None)]
    results = [stream.decode(one) for one in finished]
    assert torch.equal(frames_of(result for result in results if result is not None), whole)
