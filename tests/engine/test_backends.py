"""Attention kernels: a matter of speed, not of pictures."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.engine.tiny import random_weights, tiny_config

from limner.engine.dit.backends import AttentionKernel, attention_first_by
from limner.engine.engine import Engine
from limner.engine.errors import ConfigError
from limner.engine.pipeline.part_dit import BlockFiles
from limner.engine.types import StreamSettings

KERNELS: list[AttentionKernel] = ["auto", "cudnn", "flash", "efficient", "math"]


def painted(attention: AttentionKernel) -> torch.Tensor:
    config = tiny_config()
    engine = Engine(config, random_weights(config), dtype=torch.float32, attention=attention)
    stream = engine.open_stream(StreamSettings(prompt="oil", strength=0.8), 32, 48)
    torch.manual_seed(0)
    out = stream.push(torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8))
    assert out is not None
    return out.frames_TCHW.float()


@pytest.mark.parametrize("attention", KERNELS[1:])
def test_the_picture_is_the_same_by_any_kernel(attention: AttentionKernel) -> None:
    torch.testing.assert_close(painted(attention), painted("auto"), atol=1, rtol=0)


@pytest.mark.parametrize("attention", KERNELS)
def test_the_order_is_torchs_again_afterwards(attention: AttentionKernel) -> None:
    before = torch._C._get_sdp_priority_order()
    with attention_first_by(attention):
        first = torch._C._get_sdp_priority_order()[0]
    assert torch._C._get_sdp_priority_order() == before
    firsts = {"cudnn": 3, "flash": 1, "efficient": 2, "math": 0, "auto": before[0]}
    assert first == firsts[attention]


def test_a_config_may_choose_it() -> None:
    config = dataclasses.replace(tiny_config(), attention="math")
    weights = random_weights(config)
    assert Engine(config, weights).open_stream(StreamSettings(prompt="oil")).model.dit.attention == "math"
    chosen = Engine(config, weights, attention="flash").open_stream(StreamSettings(prompt="oil"))
    assert chosen.model.dit.attention == "flash"
    files = BlockFiles(config, weights, device=torch.device("cpu"), dtype=torch.float32)
    assert files.dit(is_first=False).attention == "math"


def test_an_unknown_kernel_is_refused_by_name() -> None:
    config = tiny_config()
    with pytest.raises(ConfigError, match=r"'flesh'.*auto, cudnn, flash"):
        Engine(config, random_weights(config), attention="flesh")  # type: ignore[arg-type]
