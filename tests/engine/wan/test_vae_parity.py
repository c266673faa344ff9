"""Against another implementation: diffusers' AutoencoderKLWan, with the same random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from tests.engine.wan.vaes import SMALL, enlivened, relative_error
from torch import Tensor

from limner.engine.wan.keys_vae import to_diffusers
from limner.engine.wan.vae import WanVae, WanVaeConfig

ODD = WanVaeConfig(base_dim=6, dim_mult=(1, 3, 2, 5), temporal_downsample=(True, False, True))
REAL = WanVaeConfig()


def pair(config: WanVaeConfig, dtype: torch.dtype = torch.float32) -> tuple[WanVae, Any]:
    """Ours and theirs."""
    ours = enlivened(WanVae(config)).to(dtype)
    theirs: Any = AutoencoderKLWan(  # type: ignore[no-untyped-call]
        base_dim=config.base_dim,
        z_dim=config.latent_channels,
        dim_mult=list(config.dim_mult),
        num_res_blocks=config.res_blocks,
        temperal_downsample=list(config.temporal_downsample),
        latents_mean=list(config.latents_mean),
        latents_std=list(config.latents_std),
    )
    theirs.load_state_dict({to_diffusers(name): t for name, t in ours.state_dict().items()}, strict=True)
    return ours, theirs.to(dtype).eval()


def normalised(theirs: Any, raw: Tensor) -> Tensor:
    mean, std = statistics(theirs)
    out: Tensor = (raw.float() - mean) / std
    return out


def statistics(theirs: Any) -> Tensor:
    values = torch.tensor([theirs.config.latents_mean, theirs.config.latents_std])
    return values[:, :, None, None, None]


def test_the_published_statistics_are_the_defaults() -> None:
    with torch.device("meta"):
        theirs: Any = AutoencoderKLWan()  # type: ignore[no-untyped-call]
    assert tuple(theirs.config.latents_mean) == REAL.latents_mean
    assert tuple(theirs.config.latents_std) == REAL.latents_std


def test_diffusers_own_converter_reads_our_names_as_wans() -> None:
    with torch.device("meta"):
        ours = WanVae(REAL)
        theirs: Any = AutoencoderKLWan()  # type: ignore[no-untyped-call]
    converted = convert_wan_vae_to_diffusers(ours.state_dict())  # type: ignore[no-untyped-call]
    wanted = theirs.state_dict()
    assert {name: t.shape for name, t in converted.items()} == {name: t.shape for name, t in wanted.items()}


@torch.inference_mode()
@pytest.mark.parametrize(
    ("config", "batch", "frames", "height", "width"),
    [
        (SMALL, 2, 13, 24, 40),
        (ODD, 1, 9, 40, 8),
        pytest.param(REAL, 1, 9, 32, 48, marks=pytest.mark.slow),
    ],
)
def test_encoding_and_decoding_agree_with_diffusers(
    config: WanVaeConfig, batch: int, frames: int, height: int, width: int
) -> None:
    ours, theirs = pair(config)
    x = torch.rand(batch, 3, frames, height, width) * 2 - 1
    wanted = normalised(theirs, theirs.encode(x).latent_dist.mean)
    assert relative_error(ours.encode(x), wanted) < 1e-5

    z = torch.randn(batch, config.latent_channels, (frames + 3) // 4, height // 8, width // 8)
    mean, std = statistics(theirs)
    pixels = theirs.decode(z * std + mean).sample
    assert relative_error(ours.decode(z).clamp(-1, 1), pixels) < 1e-5


def small_types(config: WanVaeConfig, dtype: torch.dtype) -> tuple[WanVae, WanVae, Any]:
    """Ours, ours in float32 with the same weights, and theirs."""
    ours, theirs = pair(config, dtype)
    exact = WanVae(config)
    exact.load_state_dict(ours.state_dict())
    return ours, exact, theirs


@torch.inference_mode()
@pytest.mark.parametrize("config", [WanVaeConfig(base_dim=8), ODD, WanVaeConfig(base_dim=24)])
def test_as_a_gpu_computes_it_is_within_a_hundredth_of_float32(config: WanVaeConfig) -> None:
    """In float16, which a GPU takes for the autoencoder; the bar is 1e-2, and this is half of that."""
    torch.manual_seed(0)
    ours, exact, _ = small_types(config, torch.float16)
    x = (torch.rand(1, 3, 9, 32, 48) * 2 - 1).half()
    assert relative_error(ours.encode(x), exact.encode(x.float())) < 5e-3
    z = torch.randn(1, config.latent_channels, 3, 4, 6).half()
    painted, wanted = ours.decode(z).clamp(-1, 1), exact.decode(z.float()).clamp(-1, 1)
    assert relative_error(painted, wanted) < 5e-3


@torch.inference_mode()
def test_bfloat16_would_be_too_far_off() -> None:
    """Why no device takes it (`vae_dtype`): the rounding of 16 residual blocks adds up, to no less in
    diffusers. A processor takes float32, of which the tests above are."""
    ours, exact, theirs = small_types(WanVaeConfig(base_dim=8), torch.bfloat16)
    z = torch.randn(1, 16, 3, 4, 6).bfloat16()
    mean, std = statistics(theirs)
    wanted = exact.decode(z.float()).clamp(-1, 1)
    error = relative_error(ours.decode(z).clamp(-1, 1), wanted)
    assert error > 1e-2
    assert error < 1.25 * relative_error(theirs.decode((z * std + mean).bfloat16()).sample, wanted)
