"""Whatever is wrong with a config, a size or a tensor is named."""

from __future__ import annotations

import pytest
import torch
from tests.engine.wan.vaes import wan_vae

from limner.engine.errors import ConfigError, FrameError
from limner.engine.wan.vae import WanVae, WanVaeConfig


@pytest.fixture(scope="module")
def vae() -> WanVae:
    return wan_vae()


@pytest.mark.parametrize(
    "shape", [(3, 3, 24, 40), (4, 3, 24, 32), (4, 1, 24, 40), (0, 3, 24, 40), (4, 3, 24)]
)
def test_wrong_frames_are_named(vae: WanVae, shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match=r"expected \[4k, 3, 24, 40\] frames"):
        vae.encoder_stream(24, 40).push(torch.zeros(shape, dtype=torch.uint8))


def test_other_faults_are_named(vae: WanVae) -> None:
    with pytest.raises(FrameError, match=r"float32; they must be torch\.uint8"):
        vae.encoder_stream(24, 40).push(torch.zeros(4, 3, 24, 40))
    with pytest.raises(ConfigError, match="40x30; both sides must be multiples of 8"):
        vae.encoder_stream(30, 40)
    with pytest.raises(ConfigError, match="multiples of 8"):
        vae.encode(torch.zeros(1, 3, 5, 20, 16))
    with pytest.raises(FrameError, match=r"expected latents \[k, 4, 3, 5\], not \[1, 5, 3, 5\]"):
        vae.decoder_stream(24, 40).push(torch.zeros(1, 5, 3, 5))
    with pytest.raises(FrameError, match="floating-point"):
        vae.decoder_stream(24, 40).push(torch.zeros(1, 4, 3, 5, dtype=torch.uint8))
    with pytest.raises(FrameError, match="the clip has 4 frames"):
        vae.encode(torch.zeros(1, 3, 4, 16, 16))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latent_channels", 0),
        ("res_blocks", 0),
        ("base_dim", 7),
        ("dim_mult", (1, 2, 4)),
        ("dim_mult", (1, 2, 4, 0)),
        ("temporal_downsample", (True, True, True)),
        ("temporal_downsample", (True, True)),
        ("latents_mean", (0.0,)),
        ("latents_std", (0.0,) * 16),
    ],
)
def test_wrong_sizes_in_a_config_are_named(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"vae\.{key}"):
        WanVaeConfig(**{key: value})  # type: ignore[arg-type]
