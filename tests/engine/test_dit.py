"""The transformer: whole clips and chunks agree; names and shapes are Wan's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.modulation import time_frequencies
from limner.engine.errors import ConfigError

CPU = torch.device("cpu")


def config_of(**changes: Any) -> DiTConfig:
    sizes: dict[str, Any] = {
        "latent_channels": 4,
        "dim": 32,
        "ffn_dim": 48,
        "heads": 2,
        "layers": 3,
        "text_dim": 12,
        "freq_dim": 16,
        "window_frames": 4,
        "sink_frames": 1,
    }
    return DiTConfig(**{**sizes, **changes})


def model_of(config: DiTConfig) -> CausalDiT:
    torch.manual_seed(0)
    model = CausalDiT(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("chunk_frames", [1, 2, 3, 4])
@pytest.mark.parametrize(("sinks", "ring"), [(0, 4), (1, 4), (3, 4), (0, 12), (3, 9)])
@torch.inference_mode()
def test_chunked_equals_whole_also_beyond_the_window(sinks: int, ring: int, chunk_frames: int) -> None:
    config = config_of(window_frames=sinks + ring, sink_frames=sinks)
    model = model_of(config)
    frames = 12
    x = torch.randn(2, frames, 4, 4, 6)
    sigma = torch.rand(2, frames)
    text, mask = torch.randn(2, 5, 12), torch.tensor([[True] * 5, [True, True, False, False, False]])
    whole = model.forward_clip(x, sigma, text, mask, chunk_frames=chunk_frames)
    context = model.text_context(text, mask)
    cache = KVCache(config, rows=2, grid=(2, 3), device=CPU, dtype=torch.float32)
    outs = []
    for start in range(0, frames, chunk_frames):
        chunk = slice(start, start + chunk_frames)
        cache.begin(rows=range(2), frames=chunk_frames)
        outs.append(model.denoise(x[:, chunk], sigma[:, chunk], context, cache))
        cache.commit()
    torch.testing.assert_close(torch.cat(outs, dim=1), whole, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_future_does_not_show() -> None:
    model = model_of(config_of())
    x, text = torch.randn(1, 3, 4, 4, 6), torch.randn(1, 5, 12)
    changed = x.clone()
    changed[:, 2] += 1
    sigma = torch.full((1, 3), 0.5)
    before, after = model.forward_clip(x, sigma, text), model.forward_clip(changed, sigma, text)
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2], after[:, 2])


@torch.inference_mode()
def test_a_text_token_counts_as_much_as_its_weight() -> None:
    model = model_of(config_of())
    x, sigma, tokens = torch.randn(1, 1, 4, 4, 6), torch.full((1, 1), 0.5), torch.randn(1, 2, 12)
    twice = torch.cat([tokens, tokens[:, 1:], torch.randn(1, 1, 12)], dim=1)
    whole = model.forward_clip(x, sigma, tokens)
    split = model.forward_clip(x, sigma, twice, torch.tensor([[1.0, 0.3, 0.7, 0.0]]).log())
    torch.testing.assert_close(split, whole, atol=1e-5, rtol=1e-5)
    less = model.forward_clip(x, sigma, tokens, torch.tensor([[1.0, 0.3]]).log())
    assert not torch.allclose(less, whole, atol=1e-3)


@torch.inference_mode()
def test_weights_of_text_tokens_work_in_bfloat16() -> None:
    model = model_of(config_of()).bfloat16()
    x, tokens = torch.randn(1, 1, 4, 4, 6).bfloat16(), torch.randn(1, 2, 12).bfloat16()
    out = model.forward_clip(x, torch.full((1, 1), 0.5), tokens, torch.tensor([[1.0, 0.3]]).log())
    assert out.isfinite().all()


@torch.inference_mode()
def test_masked_text_does_not_count() -> None:
    model = model_of(config_of())
    x, text, mask = (
        torch.randn(1, 1, 4, 4, 6),
        torch.randn(1, 5, 12),
        torch.tensor([[True, True] + [False] * 3]),
    )
    other = torch.cat([text[:, :2], torch.randn(1, 3, 12)], dim=1)
    sigma = torch.full((1, 1), 0.5)
    torch.testing.assert_close(
        model.forward_clip(x, sigma, text, mask), model.forward_clip(x, sigma, other, mask)
    )
    torch.testing.assert_close(
        model.forward_clip(x, sigma, text, mask),
        model.forward_clip(x, sigma, text[:, :2]),
        atol=1e-5,
        rtol=1e-5,
    )


@torch.inference_mode()
def test_patches_equal_the_convolution() -> None:
    model = model_of(config_of())
    x = torch.randn(1, 2, 4, 4, 6)
    convolved = model.patch_embedding(x.transpose(1, 2)).flatten(3).permute(0, 2, 3, 1).flatten(1, 2)
    torch.testing.assert_close(model.embed_patches(x), convolved, atol=1e-5, rtol=1e-5)


def test_velocity_is_zero_before_training() -> None:
    model = CausalDiT(config_of())
    v = model.forward_clip(torch.randn(1, 2, 4, 4, 6), torch.rand(1, 2), torch.randn(1, 5, 12))
    assert v.shape == (1, 2, 4, 4, 6) and not v.any()


def test_every_parameter_learns() -> None:
    model = model_of(config_of())
    v = model.forward_clip(torch.randn(1, 2, 4, 4, 6), torch.rand(1, 2), torch.randn(1, 5, 12))
    torch.autograd.backward(v.square().mean())
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def test_names_are_those_of_wans_files() -> None:
    names = set(CausalDiT(config_of(layers=1)).state_dict())
    attention = [f"{p}.{w}" for p in ("q", "k", "v", "o") for w in ("weight", "bias")]
    attention += ["norm_q.weight", "norm_k.weight"]
    expected = {f"blocks.0.{a}.{name}" for a in ("self_attn", "cross_attn") for name in attention}
    linear = "patch_embedding text_embedding.0 text_embedding.2 time_embedding.0 time_embedding.2"
    linear += " time_projection.1 head.head blocks.0.norm3 blocks.0.ffn.0 blocks.0.ffn.2"
    expected |= {f"{name}.{w}" for name in linear.split() for w in ("weight", "bias")}
    assert names == expected | {"blocks.0.modulation", "head.modulation"}


def test_size_of_wan_1_3b() -> None:
    config = config_of(
        latent_channels=16, dim=1536, ffn_dim=8960, heads=12, layers=30, text_dim=4096, freq_dim=256
    )
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in CausalDiT(config).parameters())
    assert count == pytest.approx(1.42e9, rel=0.005)


def test_time_frequencies_are_cosines_then_sines() -> None:
    embedded = time_frequencies(torch.tensor([0.5]), 4, torch.float32)[0]
    angles = torch.tensor([500.0, 5.0])
    torch.testing.assert_close(embedded, torch.cat([angles.cos(), angles.sin()]))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"heads": 3}, "heads"),
        ({"layers": 0}, "layers"),
        ({"sink_frames": 4}, "sink_frames"),
        ({"freq_dim": 3}, "freq_dim"),
    ],
)
def test_bad_sizes_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        config_of(**changes)


def test_an_odd_latent_is_refused() -> None:
    with pytest.raises(ValueError, match="5x6"):
        CausalDiT(config_of()).grid(5, 6)
