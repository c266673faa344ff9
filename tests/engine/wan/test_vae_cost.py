from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.engine.wan.unit_costs import SIZE, check_memory, check_operations
from tests.engine.wan.vaes import wan_vae

from limner.engine.wan.vae import WanVaeConfig
from limner.engine.wan.vae_cost import decode_cost, encode_cost

WIDE = WanVaeConfig(base_dim=32)
CONFIGS = [WIDE, replace(WIDE, dim_mult=(1, 3, 2, 5), res_blocks=1, temporal_downsample=(True, False, True))]


@pytest.mark.parametrize("config", CONFIGS)
@torch.inference_mode()
def test_operations_are_those_that_torch_counts(config: WanVaeConfig) -> None:
    check_operations(wan_vae(config), encode_cost(config, *SIZE), decode_cost(config, *SIZE))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [*CONFIGS, replace(WIDE, fewer_products=True)])
def test_memory_is_what_the_tensors_hold(config: WanVaeConfig, dtype: torch.dtype) -> None:
    encoding, decoding = (
        cost(config, *SIZE, item_bytes=dtype.itemsize) for cost in (encode_cost, decode_cost)
    )
    check_memory(wan_vae(config).to(dtype), encoding, decoding)


def test_the_published_model_costs_what_is_known_of_it() -> None:
    """The figures that the speed's floor is made of; by hand, one full-size convolution of the decoder's
    six is 2 · 27 · 96² · 4 · 512² = 0.52 TFLOP."""
    encoding, decoding = encode_cost(WanVaeConfig(), 512, 512), decode_cost(WanVaeConfig(), 512, 512)
    assert encoding.flops == pytest.approx(5.27e12, rel=0.01)
    assert decoding.flops == pytest.approx(8.88e12, rel=0.01)
    full = 96 * 4 * 512 * 512 * 2
    assert decoding.peak_bytes == full * 7 // 2
    assert decoding.moved_bytes > 6 * full * 2
