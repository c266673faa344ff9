from __future__ import annotations

import pytest
import torch
from tests.engine.wan.memory import LiveBytes
from torch.utils.flop_counter import FlopCounterMode

from limner.engine.wan.taehv import Taehv, TaehvConfig
from limner.engine.wan.taehv_cost import decode_cost, encode_cost

CONFIGS = [TaehvConfig(), TaehvConfig(encoder_width=24, decoder_widths=(64, 48, 40, 32))]
SIZE = 32, 48


@pytest.mark.parametrize("config", CONFIGS)
@torch.inference_mode()
def test_operations_are_those_that_torch_counts(config: TaehvConfig) -> None:
    taehv = Taehv(config)
    past, painted = taehv.encoder_past(*SIZE), taehv.decoder_past(*SIZE)
    with FlopCounterMode(display=False) as counter:
        latents = taehv.encode_unit(torch.zeros(1, 3, 4, *SIZE), past)
    assert counter.get_total_flops() == encode_cost(config, *SIZE).flops
    with FlopCounterMode(display=False) as counter:
        taehv.decode_unit(latents, painted)
    assert counter.get_total_flops() == decode_cost(config, *SIZE).flops


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", CONFIGS)
def test_memory_is_what_the_tensors_hold(config: TaehvConfig, dtype: torch.dtype) -> None:
    taehv = Taehv(config).to(dtype)
    past, painted = taehv.encoder_past(*SIZE), taehv.decoder_past(*SIZE)
    encoding, decoding = (
        cost(config, *SIZE, item_bytes=dtype.itemsize) for cost in (encode_cost, decode_cost)
    )
    assert encoding.past_bytes == sum(buffer.nbytes for buffer in past)
    assert decoding.past_bytes == sum(buffer.nbytes for buffer in painted)

    encoder, decoder = taehv.encoder_stream(*SIZE), taehv.decoder_stream(*SIZE)
    frames = torch.zeros(4, 3, *SIZE, dtype=torch.uint8)
    decoder.push(encoder.push(frames))
    with LiveBytes() as encoded:
        latents = encoder.push(frames)
    with LiveBytes() as decoded:
        decoder.push(latents)
    assert encoded.peak == pytest.approx(encoding.peak_bytes, rel=0.03)
    assert decoded.peak == pytest.approx(decoding.peak_bytes, rel=0.03)
