"""What the channels of pocket's latents are about: shapes, fine detail, or what changes within four frames.

Read off the encoder's linear map, which carries most of the picture: each channel is what one pattern of
4 frames × 8 × 8 pixels has of it. Legend: C latent channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from limner.engine.vae import FRAMES_PER_LATENT, PocketVae

COARSE_CHANNELS = 6
"""The channels with the widest spread: tone, colour and large shapes."""


@dataclass(frozen=True)
class Channels:
    """How much each fine channel is of either kind, 0..1, float32 [C, 1, 1]; the coarse ones are of none."""

    still_C11: Tensor
    """Of detail that all four frames share."""
    changing_C11: Tensor
    """Of what differs between the four frames."""


def channels_of(vae: PocketVae) -> Channels:
    """Tell a trained autoencoder's channels apart. Reads its weights: not for the hot path."""
    spread_C = 1 / vae.gain.float()
    fine_C = (spread_C.argsort(descending=True).argsort() >= COARSE_CHANNELS).float()
    # The inputs of the map are [frame, colour, place in a square of 4×4], see PocketVae.encode_rows.
    pattern_CTP = vae.encoder.linear.weight.float()
    pattern_CTP = pattern_CTP.reshape(len(pattern_CTP), FRAMES_PER_LATENT, -1)
    change_CTP = pattern_CTP - pattern_CTP.mean(1, keepdim=True)
    changing_C = change_CTP.square().sum((1, 2)) / pattern_CTP.square().sum((1, 2)).clamp(min=1e-12)
    return Channels(
        still_C11=(fine_C * (1 - changing_C)).view(-1, 1, 1),
        changing_C11=(fine_C * changing_C).view(-1, 1, 1),
    )
