"""Sizes of TAEHV, the small autoencoder for Wan's latents. No torch here: they can be read anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limner.engine.errors import ConfigError
from limner.engine.wan.vae_config import LATENTS_MEAN, LATENTS_STD, check_statistics


@dataclass(frozen=True, kw_only=True, slots=True)
class TaehvConfig:
    """Sizes of TAEHV; the defaults are those of `taew2_1.pth`."""

    kind: Literal["taehv"] = "taehv"
    """Which autoencoder: this one."""
    latent_channels: int = 16
    """Channels of a latent position, ≥ 1."""
    encoder_width: int = 64
    """Channels of the encoder, everywhere, ≥ 1."""
    decoder_widths: tuple[int, ...] = (256, 128, 64, 64)
    """Channels of the decoder at 1/8, 1/4, 1/2 and the full side, each ≥ 1."""
    latents_mean: tuple[float, ...] = LATENTS_MEAN
    """Mean of each latent channel of Wan's autoencoder; of use only without `normalise_encoded`."""
    latents_std: tuple[float, ...] = LATENTS_STD
    """Spread of each, > 0; the same."""
    normalise_encoded: bool = True
    """Give normalised latents, as TAEHV does. Off for denoisers that were distilled with Wan's raw latents
    (StreamDiffusionV2's); what is decoded counts as normalised in any case."""

    def __post_init__(self) -> None:
        for name in ("latent_channels", "encoder_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"vae.{name} is {getattr(self, name)}; it must be at least 1")
        if len(self.decoder_widths) != 4 or min(self.decoder_widths) < 1:
            raise ConfigError(
                f"vae.decoder_widths is {list(self.decoder_widths)}; it must be four numbers of at least 1"
            )
        check_statistics(self.latent_channels, self.latents_mean, self.latents_std)

    @property
    def frames_behind(self) -> int:
        """What is painted is so many frames older than what it was made of; see taehv.py."""
        return 3
