"""Working at another size than the frames have, and changing it live."""

from __future__ import annotations

import pytest
import torch
from tests.engine.streaming import HEIGHT, WIDTH, clip, frames_of, numbers_of, painted, settings_of, stream_of
from tests.engine.tiny import tiny_engine
from torch.nn import functional

from limner.engine.engine import Engine
from limner.engine.errors import ConfigError, SettingsError
from limner.engine.scaling import scaled

SMALL = (32, 16)
SMOOTH = (torch.arange(96).view(1, 1, 1, 96) * 2).expand(4, 3, 64, 96).to(torch.uint8)


def test_the_same_size_is_left_alone() -> None:
    assert scaled(SMOOTH, (64, 96)) is SMOOTH


def test_scaling_is_that_of_floats_rounded() -> None:
    frames = clip(1)[0]
    for size in ((16, 16), (8, 24), (64, 96), (33, 50)):
        expected = functional.interpolate(frames.float(), size=size, mode="bilinear", antialias=True)
        # Its weights have 8 bits or so.
        assert (scaled(frames, size).float() - expected).abs().max() <= 1.5
        assert scaled(frames, size).dtype == torch.uint8


def test_shrinking_counts_every_pixel() -> None:
    lines = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    lines[..., ::4] = 255
    small = scaled(lines, (8, 8)).float()
    assert small.mean().item() == pytest.approx(255 / 4, abs=4) and small.std() < 12


def test_frames_keep_their_size_whatever_is_worked_at(engine: Engine) -> None:
    for size in (SMALL, (96, 64), None):
        results = painted(stream_of(engine, size=size), clip(3))
        assert frames_of(results).shape == (12, 3, HEIGHT, WIDTH)


def test_at_strength_0_a_smooth_picture_survives() -> None:
    engine = tiny_engine()
    stream = engine.open_stream(settings_of(strength=0.0, size=(48, 32)), 64, 96)
    alone = engine.open_stream(settings_of(strength=0.0), 32, 48)
    out = frames_of(painted(stream, [SMOOTH])).float()
    by_hand = scaled(frames_of(painted(alone, [scaled(SMOOTH, (32, 48))])), (64, 96)).float()
    assert torch.equal(out, by_hand)


def test_pictures_of_any_size_can_be_worked_at_a_size_of_the_model(engine: Engine) -> None:
    stream = engine.open_stream(settings_of(size=(48, 32)), 50, 75)
    results = painted(stream, clip(3, size=(50, 75)))
    assert frames_of(results).shape == (12, 3, 50, 75)
    with pytest.raises(ConfigError, match="75x50"):
        stream.update(settings_of(size=None))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("stream_batch", [True, False])
def test_a_change_live_loses_nothing_and_begins_a_new_context(
    engine: Engine, steps: int, stream_batch: bool
) -> None:
    mode = {"steps": steps, "stream_batch": stream_batch, "motion_aware": False}
    stream, chunks = stream_of(engine, **mode), clip(12)
    results = [stream.push(chunk) for chunk in chunks[:6]]
    stream.update(settings_of(size=SMALL, **mode))
    results += [stream.push(chunk) for chunk in chunks[6:]] + [stream.flush()]
    done = [result for result in results if result is not None]
    assert numbers_of(done) == list(range(12))
    fresh = frames_of(painted(stream_of(engine, size=SMALL, **mode), chunks[6:]))
    assert torch.equal(
        frames_of(done)[24:], fresh
    )  # Noise is static, so the number of the chunk is no matter.


def test_to_another_size_and_back(engine: Engine) -> None:
    stream, chunks = stream_of(engine, steps=2), clip(9)
    results = []
    for i, chunk in enumerate(chunks):
        stream.update(settings_of(steps=2, size=SMALL if i in (3, 4, 6) else None))
        results.append(stream.push(chunk))
    done = [result for result in (*results, stream.flush()) if result is not None]
    assert numbers_of(done) == list(range(9))
    assert frames_of(done).shape == (36, 3, HEIGHT, WIDTH)


@pytest.mark.parametrize("size", [(7, 5), (0, 0), (40, 32), (16, 8192)])
def test_a_bad_size_is_named_and_the_stream_goes_on(engine: Engine, size: tuple[int, int]) -> None:
    stream, chunks = stream_of(engine), clip(4)
    results = [stream.push(chunk) for chunk in chunks[:2]]
    with pytest.raises(ConfigError, match=f"{size[0]}x{size[1]}"):
        stream.update(settings_of(size=size))
    results += [stream.push(chunk) for chunk in chunks[2:]]
    whole = frames_of(painted(stream_of(engine), chunks))
    assert torch.equal(frames_of(result for result in results if result is not None), whole)


@pytest.mark.parametrize("size", [(32,), [32, 32], (32.0, 32), "320x192", (True, 16)])
def test_what_is_no_size_is_named(size: object) -> None:
    with pytest.raises(SettingsError, match="size is"):
        settings_of(size=size)


def test_a_state_keeps_the_working_size(engine: Engine) -> None:
    stream, chunks = stream_of(engine, steps=2), clip(10)
    for i, chunk in enumerate(chunks[:5]):
        stream.update(settings_of(steps=2, size=SMALL if i > 3 else None))
        stream.push(chunk)
    copy = stream_of(tiny_engine())
    copy.restore(stream.state())
    here, there = painted(stream, chunks[5:]), painted(copy, chunks[5:])
    assert torch.equal(frames_of(here), frames_of(there))
