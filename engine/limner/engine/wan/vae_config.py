"""Sizes of Wan 2.1's autoencoder. No torch here, so that they can be read anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limner.engine.errors import ConfigError

LATENTS_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
LATENTS_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)
"""Of Wan 2.1's 16 latent channels, as published with its weights."""

_LEVELS = 4  # three halvings of the side between them: 8 × 8 pixels a latent position
_HALVINGS_OF_TIME = 2  # 4 frames a latent frame


@dataclass(frozen=True, kw_only=True, slots=True)
class WanVaeConfig:
    """Sizes of Wan 2.1's causal 3D autoencoder; the defaults are the published model's."""

    kind: Literal["wan"] = "wan"
    """Which autoencoder: this one."""
    latent_channels: int = 16
    """Channels of a latent position, ≥ 1."""
    base_dim: int = 96
    """Channels at full resolution, ≥ 2 and even."""
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    """Channels of each of the four levels, finest first, in units of base_dim, each ≥ 1."""
    res_blocks: int = 2
    """Residual blocks of a level in the encoder (the decoder has one more), ≥ 1."""
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    """Which of the three halvings of the side halve time too, finest first: two of them."""
    latents_mean: tuple[float, ...] = LATENTS_MEAN
    """Mean of each latent channel before normalisation."""
    latents_std: tuple[float, ...] = LATENTS_STD
    """Spread of each latent channel before normalisation, > 0."""
    normalise_encoded: bool = True
    """Normalise what is encoded. Off for weights that were distilled without (StreamDiffusionV2's); what is
    decoded counts as normalised in any case."""

    fewer_products: bool = False
    """Convolutions over time with about half of the products, three fifths of all operations: faster by the
    count (not yet measured on any card), for a little more rounding in bfloat16 and 143 MB of weights."""

    def __post_init__(self) -> None:
        for name in ("latent_channels", "res_blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"vae.{name} is {getattr(self, name)}; it must be at least 1")
        if self.base_dim < 2 or self.base_dim % 2:
            raise ConfigError(f"vae.base_dim is {self.base_dim}; it must be even and at least 2")
        if len(self.dim_mult) != _LEVELS or min(self.dim_mult) < 1:
            raise ConfigError(f"vae.dim_mult is {list(self.dim_mult)}; it must be four numbers of at least 1")
        halvings = self.temporal_downsample
        if len(halvings) != _LEVELS - 1 or sum(halvings) != _HALVINGS_OF_TIME:
            raise ConfigError(
                f"vae.temporal_downsample is {list(halvings)}; it must be three, of which two are true"
            )
        check_statistics(self.latent_channels, self.latents_mean, self.latents_std)

    @property
    def frames_behind(self) -> int:
        """What is painted is so many frames older than what it was made of."""
        return 0


def check_statistics(channels: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """ConfigError unless there is a mean and a spread above 0 for each latent channel."""
    for name, values in (("latents_mean", mean), ("latents_std", std)):
        if len(values) != channels:
            raise ConfigError(
                f"vae.{name} has {len(values)} values but vae.latent_channels is {channels}; one each"
            )
    if min(std) <= 0:
        raise ConfigError(f"vae.latents_std holds {min(std)}; each value must be above 0")
