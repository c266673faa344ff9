"""Convolutions over time with fewer products: the same numbers as the plain ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.engine.wan.vaes import SMALL, relative_error, wan_vae
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from limner.engine.fusing import fusing
from limner.engine.wan.vae import WanVae, WanVaeConfig
from limner.engine.wan.vae_cost import decode_cost, encode_cost
from limner.engine.wan.vae_plan import decoder_convs, encoder_convs
from limner.engine.wan.vae_time import FRAMES, TimeKernels, transform

FAST = replace(SMALL, fewer_products=True)


def hastened(config: WanVaeConfig = FAST) -> WanVae:
    """The same weights as those of `wan_vae`."""
    vae = WanVae(config)
    vae.load_state_dict(wan_vae(replace(config, fewer_products=False)).state_dict())
    return vae


def pixels() -> Tensor:
    return torch.rand(1, 3, 9, 24, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1


def latents() -> Tensor:
    return torch.randn(1, 4, 3, 3, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("frames", FRAMES)
def test_the_matrices_multiply_polynomials(frames: int) -> None:
    matrices = transform(frames)
    x, taps = torch.randn(frames + 2, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    before, kernel, after = (
        torch.tensor(matrix, dtype=torch.float64)
        for matrix in (matrices.before, matrices.kernel, matrices.after)
    )
    wanted = torch.stack([(x[t : t + 3] * taps).sum() for t in range(frames)])
    torch.testing.assert_close(after @ ((kernel @ taps) * (before @ x)), wanted)


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("way", ["plain", "compiled", "fused"])
@torch.inference_mode()
def test_a_convolution_gives_the_same(frames: int, way: str) -> None:
    weight, bias = torch.randn(5, 4, 3, 3, 3), torch.randn(5)
    window = torch.randn(2, 4, frames + 2, 6, 7)
    kernels = TimeKernels(weight, frames)
    wanted = functional.conv3d(window, weight, bias, padding=(0, 1, 1))
    over = torch.compile(kernels.over, backend="eager", fullgraph=True) if way == "compiled" else kernels.over
    with fusing("eager" if way == "fused" else None):
        assert relative_error(over(window, bias), wanted) < 2e-6


def test_pictures_and_latents_are_the_same() -> None:
    plain, fast = wan_vae(), hastened()
    assert relative_error(fast.encode(pixels()), plain.encode(pixels())) < 1e-5
    assert relative_error(fast.decode(latents()), plain.decode(latents())) < 1e-5


def test_rounding_to_bfloat16_grows_little() -> None:
    exact = WanVae(SMALL)
    plain, fast = wan_vae().bfloat16(), hastened().bfloat16()
    exact.load_state_dict(plain.state_dict())
    x, z = pixels().bfloat16(), latents().bfloat16()
    for half, given in ((WanVae.encode, x), (WanVae.decode, z)):
        wanted = half(exact, given.float())
        errors = [relative_error(half(vae, given), wanted) for vae in (plain, fast)]
        assert errors[1] < 2 * errors[0]


@torch.inference_mode()
def test_products_are_as_many_as_counted() -> None:
    vae = hastened()
    vae.prepare()
    past, painted = vae.encoder_past(24, 40), vae.decoder_past(24, 40)
    convolutions = {torch.ops.aten.conv2d, torch.ops.aten.conv3d, torch.ops.aten.convolution}
    with FlopCounterMode(display=False) as counter:
        z = vae.encode_unit(torch.zeros(1, 3, 4, 24, 40), past)
        vae.decode_unit(z, painted)
    seen = sum(flops for op, flops in counter.get_flop_counts()["Global"].items() if op in convolutions)
    assert seen == sum(conv.flops(24, 40) for conv in (*encoder_convs(FAST), *decoder_convs(FAST)))


def test_the_published_model_needs_three_fifths() -> None:
    plain, fast = WanVaeConfig(), WanVaeConfig(fewer_products=True)
    for cost in (encode_cost, decode_cost):
        assert cost(fast, 512, 512).flops < 0.6 * cost(plain, 512, 512).flops


def test_other_weights_are_made_ready_anew() -> None:
    fast = hastened()
    before = fast.decode(latents())
    with torch.no_grad():
        for parameter in fast.decoder.parameters():
            parameter.mul_(0.9)
    plain = wan_vae()
    plain.load_state_dict(fast.state_dict())
    assert relative_error(fast.decode(latents()), plain.decode(latents())) < 1e-5
    assert relative_error(before, plain.decode(latents())) > 1e-2
