"""Making the context anew under another text, from the newest chunk in the window."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.engine.streaming import clip, denoiser_of, frames_of, numbers_of, painted, settings_of, stream_of
from tests.engine.tiny import random_weights, tiny_config
from torch import Tensor

from limner.engine.dit.context import TextContext
from limner.engine.dit.together import run
from limner.engine.engine import Engine
from limner.engine.stream import Stream
from limner.engine.text_stage import text_context


def engine_of(layers: int) -> Engine:
    config = tiny_config(kind="fresh")
    config = dataclasses.replace(config, dit=dataclasses.replace(config.dit, layers=layers))
    return Engine(config, random_weights(config), dtype=torch.float32)


def text_of(stream: Stream, prompt: str) -> TextContext:
    return text_context(stream.model.dit, stream.model.text.encode(prompt).text)


@torch.inference_mode()
def keys_values(stream: Stream) -> dict[str, Tensor]:
    """Of each row, in the order of their places: where they are stored is no matter."""
    window = denoiser_of(stream)._window
    cache, tokens = window.cache, window.cache.tokens
    out = {}
    for row in range(window.rows):
        for name, stored in (("keys", cache._keys), ("values", cache._values)):
            slots = stored[:, row].reshape(
                cache.config.layers, -1, tokens, stored.shape[-2], stored.shape[-1]
            )
            out[f"{name}{row}"] = slots[:, cache.order(row)].clone()
    return out


def after_chunks(engine: Engine, count: int, **changes: object) -> Stream:
    """A stream that has painted so many chunks of "oil"."""
    stream = stream_of(engine, **changes)
    for chunk in clip(count, frames=stream.frames_per_chunk):
        stream.push(chunk)
    return stream


def largest_change(before: dict[str, Tensor], after: dict[str, Tensor]) -> float:
    """Of the frames that are left, which are the newest; they are last."""
    return max((before[name][:, -keys.shape[1] :] - keys).abs().max().item() for name, keys in after.items())


@torch.inference_mode()
def change_by_recaching(engine: Engine, at: int, prompt: str, **changes: object) -> float:
    """Largest change of the newest chunk's keys and values by recaching after `at` chunks of "oil"."""
    stream = after_chunks(engine, at, **changes)
    before = keys_values(stream)
    denoiser_of(stream).recache(text_of(stream, prompt))
    return largest_change(before, keys_values(stream))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("chunk_latents", [1, 2, 3])
@pytest.mark.parametrize("at", [3, 5, 12])
def test_the_newest_chunk_alone_is_left(steps: int, chunk_latents: int, at: int) -> None:
    stream = after_chunks(engine_of(1), at, steps=steps, chunk_latents=chunk_latents)
    with torch.inference_mode():
        denoiser_of(stream).recache(text_of(stream, "neon"))
    assert {keys.shape[1] for keys in keys_values(stream).values()} == {chunk_latents}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("chunk_latents", [1, 2, 3])
def test_the_same_text_changes_nothing_of_a_first_chunk(steps: int, chunk_latents: int) -> None:
    # As a stream batch, later rows have their first chunk later.
    mode = {"steps": steps, "chunk_latents": chunk_latents, "stream_batch": False}
    assert change_by_recaching(engine_of(3), 1, "oil", **mode) < 1e-5


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("chunk_latents", [1, 2, 3])
@pytest.mark.parametrize("at", [3, 5, 12])
def test_with_one_layer_the_same_text_never_changes_anything(steps: int, chunk_latents: int, at: int) -> None:
    assert change_by_recaching(engine_of(1), at, "oil", steps=steps, chunk_latents=chunk_latents) < 1e-5


@torch.inference_mode()
def test_older_chunks_leave_nothing() -> None:
    """With more layers, keys hold what attention took from older chunks: that is gone with them."""
    engine = engine_of(3)
    stream, alone = after_chunks(engine, 6), stream_of(engine)
    x_TCHW, told = denoiser_of(stream)._window.inputs(0)[-1]
    text = text_of(stream, "neon")
    before = keys_values(stream)
    denoiser_of(stream).recache(text)
    run(alone.model.dit, denoiser_of(alone)._forward([0], x_TCHW[None], told[None], [text]))
    assert largest_change(keys_values(stream), keys_values(alone)) < 1e-5
    assert largest_change(before, keys_values(alone)) > 1e-3


def test_recaching_an_empty_window_is_nothing() -> None:
    stream = stream_of(engine_of(1))
    with torch.inference_mode():
        denoiser_of(stream).recache(text_of(stream, "neon"))
    assert all(keys.shape[1] == 0 for keys in keys_values(stream).values())


def test_another_text_changes_keys_and_values_beyond_the_first_layer() -> None:
    assert change_by_recaching(engine_of(3), 3, "neon") > 1e-2
    assert change_by_recaching(engine_of(1), 3, "neon") < 1e-5  # They come before any text.


@torch.inference_mode()
def test_recached_equals_having_been_painted_so_from_the_start() -> None:
    """With inputs alike (strength 0.8 of the same pictures and noise, one step), after one chunk."""
    engine, chunks = engine_of(3), clip(4)
    stream, kept, always = stream_of(engine), stream_of(engine), stream_of(engine, prompt="neon")
    for one in (stream, kept, always):
        one.push(chunks[0])
    stream.update(settings_of(prompt="neon", recache=True))
    kept.update(settings_of(prompt="neon"))
    expected = latents_of(always, chunks[1:])
    assert (latents_of(stream, chunks[1:]) - expected).abs().max() < 1e-4
    assert (latents_of(kept, chunks[1:]) - expected).abs().max() > 1e-2


def latents_of(stream: Stream, chunks: list[Tensor]) -> Tensor:
    done = [clean for chunk in chunks for clean in stream.denoise(stream.encode(chunk)).chunks]
    return torch.stack([chunk.latents_TCHW for chunk in done])


@pytest.mark.parametrize("stream_batch", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
def test_recaching_live_loses_nothing_and_is_the_same_in_both_modes(stream_batch: bool, steps: int) -> None:
    engine, chunks = engine_of(2), clip(12)
    outputs = []
    for batch in (stream_batch, True):
        mode = {"steps": steps, "stream_batch": batch}
        stream = stream_of(engine, **mode)
        results = [stream.push(chunk) for chunk in chunks[:6]]
        stream.update(settings_of(prompt="neon", recache=True, **mode))
        done = [one for one in (*results, *painted(stream, chunks[6:])) if one is not None]
        assert numbers_of(done) == list(range(12))
        outputs.append(frames_of(done).float())
    assert (outputs[0] - outputs[1]).abs().max() <= 1
