"""Steadiness: still and moving sources keep what was painted, everything else is let go."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of
from torch import Tensor

from limner.engine.engine import Engine
from limner.engine.steady import Follower, Steadier

HEIGHT, WIDTH = 96, 160


def texture(seed: int = 1, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """A picture [3, H, W] with something to follow everywhere."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(np.ascontiguousarray(large)).permute(2, 0, 1)


def still(frames: int) -> Tensor:
    return texture().expand(frames, -1, -1, -1).contiguous()


def pan(frames: int, step: int) -> Tensor:
    wide = texture(width=WIDTH + 16 * step)
    return torch.stack([wide[:, :, i * step : i * step + WIDTH] for i in range(frames)]).contiguous()


def flicker(frames_TCHW: Tensor, rng_seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(rng_seed)
    noise = torch.randint(-12, 13, frames_TCHW.shape, generator=generator)
    return (frames_TCHW.int() + noise).clamp(0, 255).to(torch.uint8)


def rms(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).square().mean().sqrt())


@pytest.mark.parametrize("source", [still(12), pan(12, 2)], ids=["still", "pan"])
def test_flicker_goes_where_the_source_holds(source: Tensor) -> None:
    trace = Follower().push(source, 0.85)
    beating = flicker(source)
    steady = Steadier().push(beating, trace)
    inside = (slice(6, None), slice(None), slice(8, -8), slice(8, -8))
    assert rms(steady[inside], source[inside]) < 0.5 * rms(beating[inside], source[inside])


def test_a_pan_is_not_smeared() -> None:
    source = pan(12, 4)
    steady = Steadier().push(source, Follower().push(source, 0.85))
    inside = (slice(1, None), slice(None), slice(8, -8), slice(16, -16))
    held = source[:-1][:, :, 8:-8, 16:-16]
    assert rms(steady[inside], source[inside]) < 0.25 * rms(source[1:, :, 8:-8, 16:-16], held)


def test_another_picture_is_there_at_once() -> None:
    source = torch.cat([still(4), texture(2).expand(4, -1, -1, -1)])
    steady = Steadier().push(source, Follower().push(source, 0.95))
    # A few pixels of two random pictures are alike by chance.
    assert rms(steady[4], source[4]) < 0.1 * rms(source[3], source[4])


def test_the_smallest_pictures_are_left_as_they_are() -> None:
    tiny = still(8)[:, :, :16, :16].contiguous()
    assert Follower().push(tiny, 0.85).keep_T1hw.max() == 0


def test_nothing_is_kept_of_before_the_first_frame() -> None:
    trace = Follower().push(still(4), 0.85)
    assert trace.keep_T1hw[0].max() == 0
    assert trace.keep_T1hw[1].min() == pytest.approx(0.85, abs=1e-3)


def test_in_pieces_as_in_one(engine: Engine) -> None:
    source, beating = pan(12, 2), flicker(pan(12, 2))
    whole = Steadier().push(beating, Follower().push(source, 0.85))
    follower, steadier = Follower(), Steadier()
    parts = [steadier.push(beating[t : t + 4], follower.push(source[t : t + 4], 0.85)) for t in (0, 4, 8)]
    assert torch.equal(torch.cat(parts), whole)


def test_steadiness_zero_leaves_all_as_it_was_painted(engine: Engine) -> None:
    chunks = [part.contiguous() for part in torch.split(still(16)[:, :, :32, :48], 4)]
    plain = frames_of(painted(stream_of(engine, steadiness=0.0), chunks))
    steady = frames_of(painted(stream_of(engine, steadiness=0.85), chunks))
    assert torch.equal(plain[0], steady[0])
    assert rms(steady[1:], steady[:-1]) < 0.7 * rms(plain[1:], plain[:-1])


def test_another_look_is_there_at_once(engine: Engine) -> None:
    """The first frame under another prompt is not held back by the look before."""
    chunks = [part.contiguous() for part in torch.split(still(24)[:, :, :32, :48], 4)]

    def after_change(steadiness: float) -> Tensor:
        stream = stream_of(engine, prompt="oil", steadiness=steadiness)
        for chunk in chunks[:3]:
            stream.push(chunk)
        stream.update(settings_of(prompt="neon", steadiness=steadiness))
        result = stream.push(chunks[3])
        assert result is not None
        return result.frames_TCHW[0]

    assert torch.equal(after_change(0.0), after_change(0.85))


@pytest.mark.parametrize(("transition_frames", "held"), [(0, False), (8, True)])
def test_a_transition_ends_without_a_jump(engine: Engine, transition_frames: int, held: bool) -> None:
    """The look before its last chunk is nearly the last one: it is held as ever."""
    chunk = still(4)[:, :, :32, :48].contiguous()
    stream = stream_of(engine, prompt="oil")
    stream.push(chunk)
    stream.update(settings_of(prompt="neon", transition_frames=transition_frames))
    for _ in range(transition_frames // 4 - 1):
        stream.push(chunk)
    trace = stream.encode(chunk).trace
    assert trace is not None
    assert bool(trace.keep_T1hw[0].any()) is held


def test_a_moved_stream_holds_what_it_held(engine: Engine) -> None:
    chunks = clip(4)
    steady = [part.contiguous() for part in torch.split(still(16)[:, :, :32, :48], 4)]
    for pictures in (chunks, steady):
        stream, other = stream_of(engine, steps=2), stream_of(engine, steps=2)
        for chunk in pictures[:3]:
            stream.push(chunk)
        other.restore(stream.state())
        for one, two in zip(painted(stream, pictures[3:]), painted(other, pictures[3:]), strict=True):
            assert torch.equal(one.frames_TCHW, two.frames_TCHW)
