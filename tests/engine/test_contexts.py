"""Where a new context begins, nothing of the old one shows: cuts, clean chunks, resets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.engine.streaming import HEIGHT, WIDTH, frames_of, numbers_of, painted, settings_of, stream_of
from torch import Tensor

from limner.engine.engine import Engine

MODES = [{"steps": 1}, {"steps": 3}, {"steps": 3, "stream_batch": False}]


def scene(seed: int, chunks: int) -> list[Tensor]:
    """A still of large blocks, with a little noise: as unlike any other scene as can be."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 200, (1, 3, HEIGHT // 8, WIDTH // 8), generator=generator)
    still = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    shape = (chunks, 4, 3, HEIGHT, WIDTH)
    return list((still + torch.randint(0, 4, shape, generator=generator)).to(torch.uint8))


@pytest.mark.parametrize("mode", MODES)
def test_after_a_cut_all_is_as_in_a_new_stream(engine: Engine, mode: dict[str, Any]) -> None:
    first, second = scene(1, 6), scene(2, 6)
    results = painted(stream_of(engine, motion_aware=False, **mode), first + second)
    assert numbers_of(results) == list(range(12))
    assert any(result.is_cut for result in results)
    fresh = frames_of(painted(stream_of(engine, motion_aware=False, **mode), second))
    # The rows of a batch are not equally full after a cut, which rounds otherwise.
    assert (frames_of(results)[24:].float() - fresh.float()).abs().max() <= 1


@pytest.mark.parametrize("mode", MODES)
def test_without_cuts_the_old_scene_shows(engine: Engine, mode: dict[str, Any]) -> None:
    first, second = scene(1, 6), scene(2, 6)
    results = painted(stream_of(engine, motion_aware=False, cuts=False, **mode), first + second)
    assert not any(result.is_cut for result in results)
    fresh = frames_of(painted(stream_of(engine, motion_aware=False, **mode), second))
    assert (frames_of(results)[24:].float() - fresh.float()).abs().max() > 5


@pytest.mark.parametrize("mode", MODES)
def test_painting_begins_anew_after_strength_0(engine: Engine, mode: dict[str, Any]) -> None:
    stream, chunks = stream_of(engine, motion_aware=False, **mode), scene(3, 12)
    results = []
    for i, chunk in enumerate(chunks):
        stream.update(settings_of(motion_aware=False, strength=0.0 if i in (5, 6) else 0.8, **mode))
        results.append(stream.push(chunk))
    done = [result for result in (*results, stream.flush()) if result is not None]
    fresh = stream_of(engine, motion_aware=False, **mode)
    fresh.update(settings_of(motion_aware=False, strength=0.0, **mode))
    for chunk in chunks[5:7]:
        fresh.push(chunk)
    fresh.update(settings_of(motion_aware=False, **mode))
    expected = frames_of(painted(fresh, chunks[7:]))[-20:]
    assert (frames_of(done)[-20:].float() - expected.float()).abs().max() <= 1
