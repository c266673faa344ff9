"""Packed products equal plain ones, within what bfloat16 can hold."""

from __future__ import annotations

import pytest
import torch

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.linear import Linear, Mlp, can_pack
from limner.engine.dit.model import CausalDiT
from limner.engine.engine import fast_dtype

BF16 = torch.bfloat16
packable = pytest.mark.skipif(
    fast_dtype(torch.device("cpu")) != BF16, reason="this CPU has no bfloat16 arithmetic"
)


@packable
@torch.inference_mode()
def test_a_packed_layer_equals_the_plain_one() -> None:
    layer, x = Linear(64, 96).to(BF16), torch.randn(2, 30, 64, dtype=BF16)
    plain, plain_gelu = layer(x), layer.forward_gelu(x)
    layer.pack()
    torch.testing.assert_close(layer(x), plain, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(layer.forward_gelu(x), plain_gelu, atol=2e-2, rtol=2e-2)


@packable
@torch.inference_mode()
def test_a_packed_model_equals_the_plain_one() -> None:
    config = DiTConfig(latent_channels=8, dim=64, ffn_dim=128, heads=2, layers=3, text_dim=16)
    torch.manual_seed(0)
    model = CausalDiT(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.to(BF16)
    x, text = torch.randn(1, 3, 8, 4, 6, dtype=BF16), torch.randn(1, 5, 16, dtype=BF16)
    plain = model.forward_clip(x, torch.full((1, 3), 0.5), text)
    names = set(model.state_dict())
    model.pack()
    packed = model.forward_clip(x, torch.full((1, 3), 0.5), text)
    assert not torch.equal(packed, plain), "packing did nothing"
    assert (packed - plain).float().norm() < 0.03 * plain.float().norm()
    assert set(model.state_dict()) == names


@packable
def test_what_is_packed_is_not_there_twice() -> None:
    config = DiTConfig(latent_channels=8, dim=64, ffn_dim=128, heads=2, layers=1, text_dim=16)
    model = CausalDiT(config).to(BF16)
    model.pack()
    left = {name for name, p in model.blocks.named_parameters() if name.endswith("weight") and not p.is_meta}
    norms = {f"0.{of}.norm_{what}.weight" for of in ("self_attn", "cross_attn") for what in "qk"}
    assert left == {*norms, "0.norm3.weight", "0.cross_attn.k.weight", "0.cross_attn.v.weight"}
    model.pack()  # Nothing to do.


def test_float32_is_not_packed() -> None:
    layer = Linear(4, 4)
    layer.pack()
    assert layer._packed is None and not can_pack(layer.weight)


def test_an_mlp_has_wans_names_and_the_usual_result() -> None:
    mlp, x = Mlp(6, 10, 4), torch.randn(3, 6)
    assert set(mlp.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    expected = mlp[2](torch.nn.functional.gelu(mlp[0](x), approximate="tanh"))
    torch.testing.assert_close(mlp(x), expected)
