"""Activations at their peak, as predicted: against the live tensors of the engine, run on shapes alone."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from tests.models.live_bytes import LiveBytes
from tests.models.sizes import WAN_1_3B, WAN_14B
from torch import Tensor
from torch.nn import functional

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.window import Window
from limner.models.plan_bytes import UMT5_BYTES
from limner.models.plan_dit import DitSizes
from limner.models.plan_work import dit_work_bytes

META = torch.device("meta")


@pytest.fixture(autouse=True)
def fused_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: no scores in memory, whatever the meta device would do."""

    def attention(q: Tensor, k: Tensor, v: Tensor, **_: object) -> Tensor:
        return torch.empty_like(q)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", attention)


def test_live_bytes_are_counted() -> None:
    with LiveBytes() as live:
        a = torch.empty(1000, dtype=torch.uint8, device=META)
        b = a + 1
        del a
        c = b.view(10, 100).float()
        del b
        assert live.alive == c.nbytes
    assert live.peak == 5000


@pytest.mark.parametrize("table", [WAN_1_3B, WAN_14B])
@pytest.mark.parametrize(
    ("rows", "latents", "size"), [(1, 1, (832, 480)), (4, 1, (512, 512)), (1, 2, (832, 480))]
)
def test_a_forward(table: dict[str, Any], rows: int, latents: int, size: tuple[int, int]) -> None:
    width, height = size
    table = table | {"layers": 2}
    with META:
        dit = CausalDiT(DiTConfig(**table)).bfloat16()
    latent_size = (height // 8, width // 8)
    window = Window(dit.config, rows=rows, latent_size=latent_size, device=META, dtype=torch.bfloat16)
    x = torch.empty(rows, latents, 16, *latent_size, device=META, dtype=torch.bfloat16)
    told = torch.empty(rows, device=META)
    with torch.inference_mode():
        text = dit.text_context(torch.empty(1, 512, 4096, device=META, dtype=torch.bfloat16))
        for _ in range(dit.config.window_frames // latents + 1):
            window.begin(range(rows), x, told)
            with LiveBytes() as live:
                dit.denoise(x, told[:, None].expand(-1, latents), text, window.cache)
            window.commit()
    sizes = DitSizes.from_table(table)
    predicted = dit_work_bytes(sizes, rows=rows, latents=latents, width=width, height=height)
    assert live.peak == pytest.approx(predicted, rel=0.05)


def test_the_text_encoder() -> None:
    transformers: Any = importlib.import_module("transformers")
    config = transformers.UMT5Config(
        vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    with META:
        encoder = transformers.UMT5EncoderModel(config)
    assert 2 * sum(parameter.numel() for parameter in encoder.parameters()) == UMT5_BYTES
