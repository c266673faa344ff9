"""Activations at their peak, as predicted: against the live tensors of the engine, run on shapes alone."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from tests.models.sizes import WAN_1_3B, WAN_14B
from tests.support.live_bytes import LiveBytes
from torch import Tensor
from torch.nn import functional

from limner.engine.dit import linear
from limner.engine.dit.config import DiTConfig
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.window import Window
from limner.engine.wan.taehv import Taehv, TaehvConfig
from limner.engine.wan.vae import WanVae
from limner.engine.wan.vae_config import WanVaeConfig
from limner.models.plan_bytes import UMT5_BYTES
from limner.models.plan_dit import DitSizes, Weights
from limner.models.plan_small_vae import TaehvSizes
from limner.models.plan_vae import WanVaeSizes
from limner.models.plan_work import dit_work_bytes, taehv_work_bytes, wan_vae_work_bytes

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
    peak = peak_of_forward(table, rows, latents, size)
    assert peak == pytest.approx(predicted_work(table, rows, latents, size), rel=0.002)


@pytest.mark.parametrize("size", [(832, 480), (512, 512), (512, 288)])
@pytest.mark.parametrize("kind", ["wan", "taehv"])
def test_an_autoencoder(kind: str, size: tuple[int, int]) -> None:
    width, height = size
    small = kind == "taehv"
    with META:
        vae = (
            Taehv(TaehvConfig(), channels_last=True) if small else WanVae(WanVaeConfig(), channels_last=True)
        )
        vae.bfloat16().prepare()
        frames = torch.empty(1, 3, 4, height, width, dtype=torch.bfloat16)
        latents = torch.empty(1, 16, 1, height // 8, width // 8, dtype=torch.bfloat16)
    past = vae.encoder_past(height, width), vae.decoder_past(height, width)
    with torch.inference_mode():
        with LiveBytes() as encoding:
            vae.encode_unit(frames, past[0])
        with LiveBytes() as decoding:
            vae.decode_unit(latents, past[1])
    predicted = taehv_work_bytes(TaehvSizes(), *size) if small else wan_vae_work_bytes(WanVaeSizes(), *size)
    assert (encoding.peak, decoding.peak) == pytest.approx(predicted, rel=0.05)


@pytest.mark.parametrize("table", [WAN_1_3B, WAN_14B])
@pytest.mark.parametrize(("rows", "window"), [(1, 6), (3, 6), (1, 3)])
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_a_forward_with_weights_of_a_byte(
    table: dict[str, Any], rows: int, window: int, kind: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "fp8_form", lambda _: "rows")
    monkeypatch.setattr(torch, "_scaled_mm", multiplied)
    table = table | {"window_frames": window, "sink_frames": 1}
    predicted = predicted_work(table, rows, 1, (832, 480), kind)
    assert peak_of_forward(table, rows, 1, (832, 480), kind) == pytest.approx(predicted, rel=0.002)


def multiplied(a_MK: Tensor, b_KN: Tensor, *, out_dtype: torch.dtype, **_: object) -> Tensor:
    """Torch's product of bytes needs no more than its result; it does not run on shapes alone everywhere."""
    return a_MK.new_empty(len(a_MK), b_KN.shape[1], dtype=out_dtype)


def test_the_text_encoder() -> None:
    transformers: Any = importlib.import_module("transformers")
    config = transformers.UMT5Config(
        vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    with META:
        encoder = transformers.UMT5EncoderModel(config)
    assert 2 * sum(parameter.numel() for parameter in encoder.parameters()) == UMT5_BYTES


def predicted_work(
    table: dict[str, Any], rows: int, latents: int, size: tuple[int, int], kind: Weights = "bf16"
) -> int:
    width, height = size
    sizes = DitSizes.from_table(table)
    return dit_work_bytes(sizes, kind, rows=rows, latents=latents, width=width, height=height)


def peak_of_forward(
    table: dict[str, Any], rows: int, latents: int, size: tuple[int, int], kind: Weights = "bf16"
) -> int:
    """Bytes alive at the fullest moment of a forward over a full window. Two layers: they are alike."""
    width, height = size
    with META:
        dit = CausalDiT(DiTConfig(**table | {"layers": 2})).bfloat16()
    dit.quantise(kind)
    dit.pack()
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
    return int(live.peak)
