"""Holds what an autoencoder is said to cost a latent frame against what torch counts and tensors hold."""

from __future__ import annotations

import pytest
import torch
from tests.support.live_bytes import LiveBytes
from torch.utils.flop_counter import FlopCounterMode

from limner.engine.wan.taehv import Taehv
from limner.engine.wan.vae import WanVae
from limner.engine.wan.vae_cost import UnitCost

SIZE = 32, 48
"""Height and width, pixels."""


def check_operations(vae: Taehv | WanVae, encoding: UnitCost, decoding: UnitCost) -> None:
    """Of one latent frame in the middle of a stream, exactly."""
    past, painted = vae.encoder_past(*SIZE), vae.decoder_past(*SIZE)
    with FlopCounterMode(display=False) as counter:
        latents = vae.encode_unit(torch.zeros(1, 3, 4, *SIZE), past)
    assert counter.get_total_flops() == encoding.flops
    with FlopCounterMode(display=False) as counter:
        vae.decode_unit(latents, painted)
    assert counter.get_total_flops() == decoding.flops


def check_memory(vae: Taehv | WanVae, encoding: UnitCost, decoding: UnitCost) -> None:
    """What a stream keeps, exactly; the most that it holds besides, nearly."""
    past, painted = vae.encoder_past(*SIZE), vae.decoder_past(*SIZE)
    assert encoding.past_bytes == sum(buffer.nbytes for buffer in past)
    assert decoding.past_bytes == sum(buffer.nbytes for buffer in painted)

    encoder, decoder = vae.encoder_stream(*SIZE), vae.decoder_stream(*SIZE)
    frames = torch.zeros(4, 3, *SIZE, dtype=torch.uint8)
    decoder.push(encoder.push(frames))
    with LiveBytes() as encoded:
        latents = encoder.push(frames)
    with LiveBytes() as decoded:
        decoder.push(latents)
    assert encoded.peak == pytest.approx(encoding.peak_bytes, rel=0.03)
    assert decoded.peak == pytest.approx(decoding.peak_bytes, rel=0.03)
