"""Whole streams on a tiny random model: determinism, strength, steps, live settings, faults."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from tests.engine.streaming import HEIGHT, WIDTH, clip, frames_of, painted, settings_of, stream_of
from tests.engine.tiny import random_weights, tiny_config, tiny_engine
from torch import Tensor

from limner.engine.engine import Engine, fast_dtype
from limner.engine.errors import ConfigError, EngineError, FrameError
from limner.engine.model import Model
from limner.engine.schedule import ScheduleConfig
from limner.engine.weights import load_weights

WAN_STEPS = ScheduleConfig(timesteps=(700, 500, 400, 200), shift=8.0, offset=0.1)


@pytest.mark.parametrize("kind", ["static", "fresh"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_every_chunk_comes_out_once_and_in_order(kind: str, steps: int) -> None:
    stream = stream_of(tiny_engine(kind=kind), steps=steps)
    chunks = clip(7)
    results = [stream.push(chunk) for chunk in chunks]
    assert [result is None for result in results] == [i < steps - 1 for i in range(7)]
    done = [result for result in results if result is not None]
    assert [result.chunk for result in done] == list(range(8 - steps))
    assert all(result.chunks == 1 and result.frames_TCHW.shape == (4, 3, HEIGHT, WIDTH) for result in done)
    late = stream.flush()
    if steps == 1:
        assert late is None
    else:
        assert late is not None and (late.chunk, late.chunks) == (8 - steps, steps - 1)
        assert late.frames_TCHW.shape == (4 * (steps - 1), 3, HEIGHT, WIDTH)
    assert stream.flush() is None


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", ["static", "fresh"])
def test_a_seed_gives_the_same_stream_twice_and_again_after_a_reset(kind: str, steps: int) -> None:
    engine, chunks = tiny_engine(kind=kind), clip(6)
    stream = stream_of(engine, steps=steps)
    first = frames_of(painted(stream, chunks))
    assert torch.equal(frames_of(painted(stream_of(engine, steps=steps), chunks)), first)
    stream.reset()
    assert torch.equal(frames_of(painted(stream, chunks)), first)


def test_reset_forgets_chunks_on_their_way(engine: Engine) -> None:
    stream = stream_of(engine, steps=3)
    for chunk in clip(2):
        stream.push(chunk)
    stream.reset()
    assert stream.flush() is None
    first = painted(stream, clip(3))
    assert first[0].chunk == 0
    assert torch.equal(frames_of(first), frames_of(painted(stream_of(engine, steps=3), clip(3))))


def test_the_seed_and_the_prompt_matter(engine: Engine) -> None:
    chunks = clip(3)
    outputs = [
        frames_of(painted(stream_of(engine, **changes), chunks)).float()
        for changes in ({}, {"seed": 2}, {"prompt": "neon"}, {"prompt": ""})
    ]
    for i, one in enumerate(outputs):
        for other in outputs[:i]:
            assert (one - other).abs().mean() > 0.5


def roundtrip(chunks: list[Tensor]) -> Tensor:
    config = tiny_config()
    model = Model(config).eval()
    load_weights(model, random_weights(config))
    encoder, decoder = model.vae.encoder_stream(HEIGHT, WIDTH), model.vae.decoder_stream(HEIGHT, WIDTH)
    return torch.cat([decoder.push(encoder.push(chunk)) for chunk in chunks])


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_strength_0_is_the_autoencoder_alone(engine: Engine, steps: int) -> None:
    chunks = clip(5)
    results = painted(stream_of(engine, strength=0.0, steps=steps), chunks)
    assert torch.equal(frames_of(results), roundtrip(chunks))
    assert all(result.strength == 0 for result in results)


def test_strength_0_is_clean_also_among_painted_chunks(engine: Engine) -> None:
    chunks = clip(8)
    stream = stream_of(engine, steps=3)
    results = []
    for i, chunk in enumerate(chunks):
        if i in (3, 6):
            stream.update(settings_of(steps=3, strength=0.0 if i == 3 else 0.8))
        results.append(stream.push(chunk))
    results.append(stream.flush())
    output = frames_of([result for result in results if result is not None])
    # The decoder remembers two latent frames at most, so the last of three clean chunks shows no paint.
    assert torch.equal(output[20:24], roundtrip(chunks)[20:24])
    assert not torch.equal(output[24:], roundtrip(chunks)[24:])


def test_more_strength_is_farther_from_the_input(engine: Engine) -> None:
    chunks = clip(4)
    clean = roundtrip(chunks).float()
    far = [
        (frames_of(painted(stream_of(engine, strength=strength), chunks)).float() - clean).abs().mean().item()
        for strength in (0.0, 0.05, 0.2, 0.6)
    ]
    assert far == sorted(far) and far[0] == 0 and far[1] > 0


def test_the_past_matters_and_the_future_does_not(engine: Engine) -> None:
    chunks, other = clip(5), clip(5, seed=6)
    whole = frames_of(painted(stream_of(engine), chunks))
    assert torch.equal(frames_of(painted(stream_of(engine), [*chunks[:4], other[4]]))[:16], whole[:16])
    mixed = frames_of(painted(stream_of(engine), [other[0], *chunks[1:]]))
    assert not torch.equal(mixed[16:], whole[16:])


def test_settings_take_effect_at_the_next_chunk_and_say_so(engine: Engine) -> None:
    stream = stream_of(engine)
    chunks = clip(4)
    before = [stream.push(chunk) for chunk in chunks[:2]]
    stream.update(settings_of(prompt="warm", revision=6))
    stream.update(settings_of(prompt="neon zebra", strength=0.7, revision=7, motion_aware=False))
    after = stream.push(chunks[2])
    assert all(result is not None and result.revision == 0 for result in before)
    assert after is not None and after.revision == 7
    assert after.strength == pytest.approx(0.7)
    assert stream.unknown_words == ("zebra",)


def test_a_new_prompt_keeps_the_history(engine: Engine) -> None:
    chunks = clip(4)
    live = stream_of(engine)
    for chunk in chunks[:3]:
        live.push(chunk)
    live.update(settings_of(prompt="neon"))
    changed = live.push(chunks[3])
    fresh = painted(stream_of(engine, prompt="neon"), chunks[3:])
    always = painted(stream_of(engine, prompt="neon"), chunks)[3:]
    assert changed is not None
    for other in (fresh, always):
        assert not torch.equal(changed.frames_TCHW, frames_of(other))


@pytest.mark.parametrize("before", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_steps_change_live_without_loss(engine: Engine, before: int, after: int) -> None:
    stream = stream_of(engine, steps=before)
    chunks = clip(12)
    results = []
    for i, chunk in enumerate(chunks):
        if i == 5:
            stream.update(settings_of(steps=after, revision=1))
        results.append(stream.push(chunk))
    results.append(stream.flush())
    done = [result for result in results if result is not None]
    numbers = [result.chunk + i for result in done for i in range(result.chunks)]
    assert numbers == list(range(12))
    assert all(len(result.frames_TCHW) == 4 * result.chunks for result in done)
    assert done[-1].revision == 1


def test_two_streams_do_not_touch_each_other(engine: Engine) -> None:
    chunks, other = clip(5), clip(5, seed=8)
    alone = frames_of(painted(stream_of(engine, steps=2), chunks))
    one, two = stream_of(engine, steps=2), stream_of(engine, steps=3, prompt="neon", seed=9)
    results = []
    for mine, its in zip(chunks, other, strict=True):
        results.append(one.push(mine))
        two.push(its)
    results.append(one.flush())
    assert torch.equal(frames_of([result for result in results if result is not None]), alone)


def test_chunks_of_several_latent_frames() -> None:
    engine = tiny_engine(chunk=2)
    stream = stream_of(engine, steps=2)
    assert stream.frames_per_chunk == 8
    results = painted(stream, clip(6, frames=8))
    assert frames_of(results).shape == (48, 3, HEIGHT, WIDTH)


@pytest.mark.parametrize("steps", [1, 4])
def test_the_schedule_of_the_reference_runs(steps: int) -> None:
    engine = tiny_engine(kind="fresh", schedule=WAN_STEPS)
    results = painted(stream_of(engine, steps=steps), clip(6))
    assert frames_of(results).shape == (24, 3, HEIGHT, WIDTH)
    assert torch.equal(
        frames_of(painted(stream_of(engine, steps=steps, strength=0.0), clip(6))), roundtrip(clip(6))
    )


def test_bfloat16_is_near_float32() -> None:
    config = tiny_config()
    weights = random_weights(config)
    chunks = clip(4)
    outputs = [
        frames_of(painted(stream_of(Engine(config, weights, dtype=dtype)), chunks)).float()
        for dtype in (torch.float32, torch.bfloat16)
    ]
    assert (outputs[0] - outputs[1]).abs().mean() < 6


def test_stage_times_are_given(engine: Engine) -> None:
    result = painted(stream_of(engine), clip(1))[0]
    times = dataclasses.asdict(result.stage_ms)
    assert set(times) == {"encode", "noise", "denoise", "decode"}
    assert all(value > 0 for value in times.values())
    assert result.stage_ms.total == pytest.approx(sum(times.values()))


@pytest.mark.parametrize(
    "frames",
    [
        torch.zeros(4, 3, HEIGHT, WIDTH),
        torch.zeros(3, 3, HEIGHT, WIDTH, dtype=torch.uint8),
        torch.zeros(8, 3, HEIGHT, WIDTH, dtype=torch.uint8),
        torch.zeros(4, 4, HEIGHT, WIDTH, dtype=torch.uint8),
        torch.zeros(4, 3, WIDTH, HEIGHT, dtype=torch.uint8),
        torch.zeros(4, HEIGHT, WIDTH, 3, dtype=torch.uint8),
        torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8),
        torch.zeros(0, dtype=torch.uint8),
        None,
    ],
)
def test_wrong_frames_are_refused_and_the_stream_goes_on(engine: Engine, frames: Any) -> None:
    chunks = clip(3)
    stream = stream_of(engine)
    results = [stream.push(chunks[0])]
    with pytest.raises(FrameError, match="frames"):
        stream.push(frames)
    results += [stream.push(chunk) for chunk in chunks[1:]]
    output = frames_of([result for result in results if result is not None])
    assert torch.equal(output, frames_of(painted(stream_of(engine), chunks)))


@pytest.mark.parametrize(("height", "width"), [(7, 5), (0, 0), (32, 40), (-16, 16), (16, 8192)])
def test_a_size_that_will_not_do_is_named(engine: Engine, height: int, width: int) -> None:
    with pytest.raises(ConfigError, match=f"{width}x{height}"):
        engine.open_stream(settings_of(), height, width)


def test_the_default_size_is_the_models(engine: Engine) -> None:
    stream = engine.open_stream(settings_of())
    assert (stream.width, stream.height) == engine.config.default_size


def test_a_device_that_is_not_there_is_named() -> None:
    config = tiny_config()
    with pytest.raises(EngineError, match="cuda:77"):
        Engine(config, random_weights(config), device="cuda:77")
    with pytest.raises(EngineError, match="warp"):
        Engine(config, random_weights(config), device="warp")
    with pytest.raises(EngineError, match="threads is 0"):
        Engine(config, random_weights(config), threads=0)


def test_warming_up_leaves_no_trace() -> None:
    engine, chunks = tiny_engine(kind="fresh"), clip(3)
    before = frames_of(painted(stream_of(engine), chunks))
    engine.warm_up(HEIGHT, WIDTH, steps=2)
    assert torch.equal(frames_of(painted(stream_of(engine), chunks)), before)


@pytest.mark.parametrize(("native", "wanted"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_card_that_only_emulates_bfloat16_computes_in_float16(
    monkeypatch: pytest.MonkeyPatch, *, native: bool, wanted: torch.dtype
) -> None:
    asked = []

    def on_device(device: torch.device) -> AbstractContextManager[None]:
        asked.append(device)
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "device", on_device)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation
    )
    second = torch.device("cuda:1")
    assert fast_dtype(second) == wanted
    assert asked == [second], "of this card, not of the first one"
