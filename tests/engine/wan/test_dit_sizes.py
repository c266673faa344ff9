"""The transformers of Wan 2.1 in their full size, where nothing is allocated: on the meta device."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest
import torch
from tests.engine.wan.dits import diffusers_of

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.kv_cache import KVCache
from limner.engine.dit.linear import Linear
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.quantised import WeightKind

WAN_1_3B = DiTConfig(latent_channels=16, dim=1536, ffn_dim=8960, heads=12, layers=30, text_dim=4096)
WAN_14B = dataclasses.replace(WAN_1_3B, dim=5120, ffn_dim=13824, heads=40, layers=40)
SIZES = pytest.mark.parametrize(
    ("config", "parameters"), [(WAN_1_3B, 1_418_996_800), (WAN_14B, 14_288_491_584)], ids=["1.3B", "14B"]
)
META = torch.device("meta")


def on_meta(config: DiTConfig) -> CausalDiT:
    with META:
        return CausalDiT(config).bfloat16()


def wans_names(layers: int) -> set[str]:
    """Names in Wan's own files, by rule."""
    both = ("weight", "bias")
    linear = ["patch_embedding", "text_embedding.0", "text_embedding.2", "time_embedding.0"]
    linear += ["time_embedding.2", "time_projection.1", "head.head"]
    names = {f"{name}.{leaf}" for name, leaf in product(linear, both)} | {"head.modulation"}
    for block in (f"blocks.{layer}" for layer in range(layers)):
        names |= {f"{block}.modulation"}
        names |= {f"{block}.{name}.{leaf}" for name, leaf in product(("norm3", "ffn.0", "ffn.2"), both)}
        for attention in (f"{block}.self_attn", f"{block}.cross_attn"):
            names |= {f"{attention}.{name}.{leaf}" for name, leaf in product("qkvo", both)}
            names |= {f"{attention}.norm_q.weight", f"{attention}.norm_k.weight"}
    return names


@SIZES
def test_parameters_are_as_many_as_diffusers_has(config: DiTConfig, parameters: int) -> None:
    with META:
        theirs = diffusers_of(config)
    assert sum(p.numel() for p in on_meta(config).parameters()) == parameters
    assert sum(p.numel() for p in theirs.parameters()) == parameters


@SIZES
def test_names_are_wans_own(config: DiTConfig, parameters: int) -> None:
    model = on_meta(config)
    assert set(model.state_dict()) == wans_names(config.layers)
    assert all(tensor.is_meta for tensor in model.state_dict().values())


@SIZES
@pytest.mark.parametrize("kind", ["bf16", "int8", "fp8"])
def test_a_forward_has_the_right_shape_whatever_the_weights(
    config: DiTConfig, parameters: int, kind: WeightKind
) -> None:
    model = on_meta(dataclasses.replace(config, layers=2))
    wide = sum(p.nbytes for p in model.parameters())
    large = [module.weight.numel() for module in model.blocks.modules() if isinstance(module, Linear)]
    model.quantise(kind)
    model.pack()
    rows = sum(len(m.scale) for m in model.modules() if isinstance(m, Linear) and m.scale is not None)
    saved = wide - sum(p.nbytes for p in model.parameters())
    assert (saved, rows > 0) == ((0, False) if kind == "bf16" else (sum(large), True))
    cache = KVCache(model.config, rows=2, grid=(30, 52), device=META, dtype=torch.bfloat16)
    cache.begin(rows=range(2), frames=1)
    told = torch.empty(2, 1, device=META)
    x, words = (
        torch.empty(*shape, device=META).bfloat16() for shape in ((2, 1, 16, 60, 104), (1, 512, 4096))
    )
    text = model.text_context(words)
    assert model.denoise(x, told, text, cache).shape == x.shape
