from __future__ import annotations

import pytest
import torch
from tests.engine.wan.unit_costs import SIZE, check_memory, check_operations

from limner.engine.wan.taehv import Taehv, TaehvConfig
from limner.engine.wan.taehv_cost import decode_cost, encode_cost

CONFIGS = [TaehvConfig(), TaehvConfig(encoder_width=24, decoder_widths=(64, 48, 40, 32))]


@pytest.mark.parametrize("config", CONFIGS)
@torch.inference_mode()
def test_operations_are_those_that_torch_counts(config: TaehvConfig) -> None:
    check_operations(Taehv(config), encode_cost(config, *SIZE), decode_cost(config, *SIZE))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", CONFIGS)
def test_memory_is_what_the_tensors_hold(config: TaehvConfig, dtype: torch.dtype) -> None:
    encoding, decoding = (
        cost(config, *SIZE, item_bytes=dtype.itemsize) for cost in (encode_cost, decode_cost)
    )
    check_memory(Taehv(config).to(dtype), encoding, decoding)
