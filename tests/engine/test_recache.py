"""Making the context anew under another text, from the frames in the window."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.engine.streaming import clip, frames_of, numbers_of, painted, settings_of, stream_of
from tests.engine.tiny import random_weights, tiny_config
from torch import Tensor

from limner.engine.dit.context import TextContext
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
    window = stream._denoiser._window
    cache, tokens = window.cache, window.cache.tokens
    out = {}
    for row in range(window.rows):
        for name, stored in (("keys", cache._keys), ("values", cache._values)):
            slots = stored[:, row].reshape(
                cache.config.layers, -1, tokens, stored.shape[-2], stored.shape[-1]
            )
            out[f"{name}{row}"] = slots[:, cache.order(row)].clone()
    return out


@torch.inference_mode()
def change_by_recaching(engine: Engine, at: int, prompt: str, **changes: object) -> float:
    """Largest change of keys and values when the context is made anew after `at` chunks of "oil"."""
    stream = stream_of(engine, **changes)
    for chunk in clip(at, frames=stream.frames_per_chunk):
        stream.push(chunk)
    before = keys_values(stream)
    stream._denoiser.recache(text_of(stream, prompt))
    after = keys_values(stream)
    return max((after[name] - before[name]).abs().max().item() for name in before if before[name].numel())


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("chunk_latents", [1, 2, 3])
def test_the_same_text_changes_nothing_while_no_frame_is_gone(steps: int, chunk_latents: int) -> None:
    engine, most = engine_of(3), 4 // chunk_latents
    for at in range(1, most + 1):
        change = change_by_recaching(engine, at, "oil", steps=steps, chunk_latents=chunk_latents)
        assert change < 1e-5


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("chunk_latents", [1, 2, 3])
@pytest.mark.parametrize("at", [2, 5, 12])
def test_with_one_layer_the_same_text_never_changes_anything(steps: int, chunk_latents: int, at: int) -> None:
    assert change_by_recaching(engine_of(1), at, "oil", steps=steps, chunk_latents=chunk_latents) < 1e-5


def test_with_more_layers_what_old_frames_took_from_gone_ones_is_lost() -> None:
    """Why the test above says one layer: this is what "precisely" means."""
    assert change_by_recaching(engine_of(3), 12, "oil") > 1e-3


def test_another_text_changes_keys_and_values_beyond_the_first_layer() -> None:
    assert change_by_recaching(engine_of(3), 3, "neon") > 1e-2
    assert change_by_recaching(engine_of(1), 3, "neon") < 1e-5  # They come before any text.


@torch.inference_mode()
def test_recached_equals_having_been_painted_so_from_the_start() -> None:
    """With inputs alike (strength 0.8 of the same pictures and noise, one step), as long as none is gone."""
    engine, chunks = engine_of(3), clip(7)
    stream, always = stream_of(engine), stream_of(engine, prompt="neon")
    for chunk in chunks[:4]:
        stream.push(chunk)
        always.push(chunk)
    stream.update(settings_of(prompt="neon", recache=True))
    kept = stream_of(engine)
    for chunk in chunks[:4]:
        kept.push(chunk)
    kept.update(settings_of(prompt="neon"))
    expected = latents_of(always, chunks[4:])
    assert (latents_of(stream, chunks[4:]) - expected).abs().max() < 1e-4
    assert (latents_of(kept, chunks[4:]) - expected).abs().max() > 1e-2


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
