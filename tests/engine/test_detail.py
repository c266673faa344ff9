"""Noise that holds some of the picture's own detail: which, how much, at which motion."""

from __future__ import annotations

import pytest
import torch
from tests.support.pictures import pocket
from torch import Tensor

from limner.engine.detail import DetailNoise
from limner.engine.errors import ConfigError
from limner.engine.noise import NoiseConfig
from limner.engine.vae import PocketVae, VaeConfig
from limner.engine.vae_channels import COARSE_CHANNELS, channels_of
from limner.engine.wan.vae import WanVae, WanVaeConfig

WISH = NoiseConfig(detail_still=2.0, detail_moving=2.0)


@pytest.fixture(scope="module")
def vae() -> PocketVae:
    trained = pocket()._model.vae
    assert isinstance(trained, PocketVae)
    return trained


def latents_of(vae: PocketVae, *, changing: bool) -> Tensor:
    """A chunk of four frames of fine stripes: all alike, or turned over from frame to frame."""
    column = torch.arange(64) % 2 * 60 + 90
    frames = column.repeat(4, 3, 64, 1).to(torch.uint8)
    if changing:
        frames[1::2] = 255 - frames[1::2]
    return vae.encoder_stream(64, 64).push(frames).float()


def test_tells_still_detail_from_what_changes(vae: PocketVae) -> None:
    channels = channels_of(vae)
    coarse = (channels.still_C11 + channels.changing_C11 == 0).sum()
    assert coarse == COARSE_CHANNELS
    alike, turned = latents_of(vae, changing=False), latents_of(vae, changing=True)

    def power(latents: Tensor, weights_C11: Tensor) -> float:
        return (latents * weights_C11).square().mean().item()

    assert power(alike, channels.still_C11) > 3 * power(alike, channels.changing_C11)
    assert power(turned, channels.changing_C11) > 3 * power(turned, channels.still_C11)


@pytest.mark.parametrize(("motion", "changing"), [(0.0, False), (1.0, True)])
def test_the_noise_holds_still_detail_when_still_and_changes_when_fast(
    vae: PocketVae, motion: float, changing: bool
) -> None:
    latents = latents_of(vae, changing=changing)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    held = DetailNoise(WISH, vae).push(noise, latents, torch.tensor(motion)) - noise
    other = DetailNoise(WISH, vae).push(noise, latents, torch.tensor(1 - motion)) - noise
    assert held.square().mean() > 3 * other.square().mean()
    between = DetailNoise(WISH, vae).push(noise, latents, torch.tensor(0.5)) - noise
    assert between.square().mean() < 0.02 * held.square().mean()


def test_without_the_wish_noise_is_noise(vae: PocketVae) -> None:
    noise, latents = torch.randn(1, 48, 8, 8), torch.randn(1, 48, 8, 8)
    assert DetailNoise(NoiseConfig(), vae).push(noise, latents, torch.tensor(0.0)) is noise


def test_is_for_autoencoders_whose_channels_can_be_told_apart() -> None:
    with pytest.raises(ConfigError, match="pocket's kind"):
        DetailNoise(WISH, WanVae(WanVaeConfig(base_dim=8)))


@pytest.mark.parametrize("name", ["detail_still", "detail_moving"])
@pytest.mark.parametrize("value", [-0.1, 10.1, float("nan")])
def test_limits(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        NoiseConfig(**{name: value})  # type: ignore[arg-type]


def test_any_new_autoencoder_can_be_told_apart_too() -> None:
    channels = channels_of(PocketVae(VaeConfig(latent_channels=8)))
    assert channels.still_C11.isfinite().all() and channels.changing_C11.isfinite().all()
