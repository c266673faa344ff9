"""Noise that holds some of the picture's own detail: still detail where nothing moves, change when fast.

A small model gives fine channels back as it got them, less what the noise took: of x = (1 - sigma) · z +
sigma · noise, (1 - sigma) of z. With sigma · (noise + a · z) a person sees more of what is there, at the same
noise level and with the same style. What stands still may be as sharp as it likes, since nothing of it
flickers; in fast motion what matters is that the four frames of a latent frame differ enough, or each shows a
ghost of the one before. In between, both would cost steadiness, so there is little of either.

Legend: T latent frames, C channels, H×W latent pixels.
"""

from __future__ import annotations

from torch import Tensor

from limner.engine.errors import ConfigError
from limner.engine.noise import NoiseConfig
from limner.engine.parts import Vae
from limner.engine.vae import PocketVae
from limner.engine.vae_channels import channels_of

SHARPNESS = 4
"""Power of stillness and of motion: half-way between, a sixteenth is left of each."""


class DetailNoise:
    """Adds to noise what it is to hold of the latents, as the model's config says."""

    def __init__(self, config: NoiseConfig, vae: Vae) -> None:
        """ConfigError when the config asks it of an autoencoder whose channels nobody can tell apart."""
        self._holds_any = config.detail_still > 0 or config.detail_moving > 0
        if not self._holds_any:
            return
        if not isinstance(vae, PocketVae):
            raise ConfigError("noise.detail_still and detail_moving are for autoencoders of pocket's kind")
        channels = channels_of(vae)
        self._still_C11 = config.detail_still * channels.still_C11
        self._changing_C11 = config.detail_moving * channels.changing_C11

    def push(self, noise_TCHW: Tensor, latents_TCHW: Tensor, motion: Tensor) -> Tensor:
        """The noise, and what it holds at this motion (0..1, 0-d, on the device)."""
        if not self._holds_any:
            return noise_TCHW
        share_C11 = self._still_C11 * (1 - motion) ** SHARPNESS + self._changing_C11 * motion**SHARPNESS
        return noise_TCHW + share_C11 * latents_TCHW
