from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.engine.wan.memory import LiveBytes
from tests.engine.wan.vaes import wan_vae
from torch.utils.flop_counter import FlopCounterMode

from limner.engine.wan.vae import WanVaeConfig
from limner.engine.wan.vae_cost import decode_cost, encode_cost

WIDE = WanVaeConfig(base_dim=32)
CONFIGS = [WIDE, replace(WIDE, dim_mult=(1, 3, 2, 5), res_blocks=1, temporal_downsample=(True, False, True))]
HEIGHT, WIDTH = 32, 48


@pytest.mark.parametrize("config", CONFIGS)
@torch.inference_mode()
def test_operations_are_those_that_torch_counts(config: WanVaeConfig) -> None:
    vae = wan_vae(config)
    past, painted = vae.encoder_past(HEIGHT, WIDTH), vae.decoder_past(HEIGHT, WIDTH)
    with FlopCounterMode(display=False) as counter:
        latents = vae.encode_unit(torch.zeros(1, 3, 4, HEIGHT, WIDTH), past)
    assert counter.get_total_flops() == encode_cost(config, HEIGHT, WIDTH).flops
    with FlopCounterMode(display=False) as counter:
        vae.decode_unit(latents, painted)
    assert counter.get_total_flops() == decode_cost(config, HEIGHT, WIDTH).flops


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [*CONFIGS, replace(WIDE, fewer_products=True)])
def test_memory_is_what_the_tensors_hold(config: WanVaeConfig, dtype: torch.dtype) -> None:
    vae = wan_vae(config).to(dtype)
    sizes = HEIGHT, WIDTH
    past, painted = vae.encoder_past(*sizes), vae.decoder_past(*sizes)
    encoding, decoding = (
        cost(config, *sizes, item_bytes=dtype.itemsize) for cost in (encode_cost, decode_cost)
    )
    assert encoding.past_bytes == sum(buffer.nbytes for buffer in past)
    assert decoding.past_bytes == sum(buffer.nbytes for buffer in painted)

    encoder, decoder = vae.encoder_stream(*sizes), vae.decoder_stream(*sizes)
    frames = torch.zeros(4, 3, *sizes, dtype=torch.uint8)
    decoder.push(encoder.push(frames))
    with LiveBytes() as encoded:
        latents = encoder.push(frames)
    with LiveBytes() as decoded:
        decoder.push(latents)
    assert encoded.peak == pytest.approx(encoding.peak_bytes, rel=0.03)
    assert decoded.peak == pytest.approx(decoding.peak_bytes, rel=0.03)


def test_the_published_model_costs_what_is_known_of_it() -> None:
    """The figures that the speed's floor is made of; by hand, one full-size convolution of the decoder's
    six is 2 · 27 · 96² · 4 · 512² = 0.52 TFLOP."""
    encoding, decoding = encode_cost(WanVaeConfig(), 512, 512), decode_cost(WanVaeConfig(), 512, 512)
    assert encoding.flops == pytest.approx(5.27e12, rel=0.01)
    assert decoding.flops == pytest.approx(8.88e12, rel=0.01)
    full = 96 * 4 * 512 * 512 * 2
    assert decoding.peak_bytes == full * 7 // 2
    assert decoding.moved_bytes > 6 * full * 2
