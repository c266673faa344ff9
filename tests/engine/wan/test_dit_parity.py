"""Our transformer is diffusers' Wan transformer, whole and chunk by chunk."""

from __future__ import annotations

import pytest
import torch
from tests.engine.wan.dits import (
    config_of,
    error,
    make_block_causal,
    pair_of,
    prompts,
    theirs_velocity,
)
from torch import Tensor

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.model import CausalDiT

FP32, BF16 = 1e-5, 1e-2
SHAPES = [
    # heads, layers, (frames, latent height, width), text tokens
    (1, 1, (1, 2, 2), 512),
    (2, 3, (1, 6, 10), 512),
    (3, 2, (3, 2, 14), 37),
    (1, 5, (5, 10, 2), 1),
]


@pytest.mark.parametrize(("heads", "layers", "size", "length"), SHAPES)
@torch.inference_mode()
def test_a_clip_in_one_chunk(heads: int, layers: int, size: tuple[int, int, int], length: int) -> None:
    theirs, ours = pair_of(config_of(heads=heads, layers=layers, window=6, sinks=0))
    frames, height, width = size
    x, text = torch.randn(2, frames, 16, height, width), prompts(2, length=length, words=length // 3 + 1)
    sigma = torch.tensor([0.7, 0.2]).expand(frames, 2).T
    expected = theirs_velocity(theirs, x, sigma, text)
    given = ours.forward_clip(x, sigma, text, chunk_frames=frames)
    assert error(given, expected) < FP32
    assert error(ours.forward_clip(x, sigma - 0.1, text, chunk_frames=frames), expected) > 1e-3
    assert error(ours.forward_clip(x, sigma, text + 0.3, chunk_frames=frames), expected) > 1e-3


@pytest.mark.parametrize(("clips", "frames"), [(1, 1), (2, 1), (1, 3)])
def test_in_bfloat16(clips: int, frames: int) -> None:
    assert max(errors_in_bfloat16(config_of(layers=6, sinks=0), clips, frames)) < BF16


@pytest.mark.parametrize("layers", [24, 30, 40])
def test_in_bfloat16_at_the_real_depth(layers: int) -> None:
    """1.3B has 30 layers, 14B 40."""
    assert max(errors_in_bfloat16(config_of(layers=layers, sinks=0), clips=2, frames=1)) < BF16


def test_a_sum_in_bfloat16_would_be_too_far_off_at_that_depth() -> None:
    """What the width of the sum is for; and the test above could fail."""
    config = config_of(layers=40, sinks=0, wide=False)
    assert min(errors_in_bfloat16(config, clips=2, frames=1)) > BF16


@torch.inference_mode()
def errors_in_bfloat16(config: DiTConfig, clips: int, frames: int) -> list[float]:
    """Of ours as it is and packed, against diffusers' in float32."""
    theirs, ours = pair_of(config)
    # Weights and inputs that bfloat16 can hold, so that only what is computed differs.
    ours = ours.bfloat16()
    theirs = theirs.bfloat16().float()
    x, text = torch.randn(clips, frames, 16, 6, 8).bfloat16(), prompts(clips, length=64, words=20).bfloat16()
    sigma = torch.rand(clips, 1).expand(clips, frames)
    expected = theirs_velocity(theirs, x.float(), sigma, text.float())
    plain = ours.forward_clip(x, sigma, text, chunk_frames=frames)
    ours.pack()
    packed = ours.forward_clip(x, sigma, text, chunk_frames=frames)
    return [error(plain, expected), error(packed, expected)]


@pytest.mark.parametrize("chunk_frames", [1, 2, 3])
@torch.inference_mode()
def test_chunk_by_chunk_through_the_cache(chunk_frames: int) -> None:
    theirs, ours = pair_of(config_of(layers=3))
    x, text = torch.randn(2, 6, 16, 4, 6), prompts(2, length=30, words=9)
    sigma = torch.rand(2, 6)
    make_block_causal(theirs, tokens=6, frames=6, chunk_frames=chunk_frames)
    expected = theirs_velocity(theirs, x, sigma, text)
    whole = ours.forward_clip(x, sigma, text, chunk_frames=chunk_frames)
    assert error(whole, expected) < FP32
    assert error(through_cache(ours, x, sigma, text, chunk_frames), expected) < FP32


@torch.inference_mode()
def test_chunk_by_chunk_in_bfloat16_at_the_real_depth() -> None:
    """What a stream computes: its keys and values go through the cache in bfloat16."""
    theirs, ours = pair_of(config_of(heads=1, layers=30))
    ours = ours.bfloat16()
    theirs = theirs.bfloat16().float()
    x, text = torch.randn(1, 6, 16, 4, 6).bfloat16(), prompts(1, length=30, words=9).bfloat16()
    sigma = torch.rand(1, 6)
    make_block_causal(theirs, tokens=6, frames=6, chunk_frames=1)
    expected = theirs_velocity(theirs, x.float(), sigma, text.float())
    assert error(through_cache(ours, x, sigma, text, 1), expected) < BF16


def through_cache(model: CausalDiT, x: Tensor, sigma: Tensor, text: Tensor, chunk_frames: int) -> Tensor:
    grid = model.grid(x.shape[-2], x.shape[-1])
    cache = KVCache(model.config, rows=len(x), grid=grid, device=x.device, dtype=x.dtype)
    context, done = model.text_context(text), []
    for first in range(0, x.shape[1], chunk_frames):
        part, level = (whole[:, first : first + chunk_frames] for whole in (x, sigma))
        cache.begin(rows=range(len(x)), frames=chunk_frames)
        done.append(model.denoise(part, level, context, cache))
        cache.commit()
    return torch.cat(done, dim=1)
