"""The DiT's bytes as predicted are those that the engine allocates."""

from __future__ import annotations

import dataclasses
import tomllib
from typing import Any

import pytest
import torch
from tests.models.sizes import ODD, TINY, WAN_1_3B, WAN_14B

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.window import Window
from limner.models.plan_dit import (
    DitSizes,
    Weights,
    cache_bytes,
    dit_parameters,
    dit_weight_bytes,
    text_bytes,
    view_bytes,
    window_bytes,
)
from limner.worker.model_source import CONFIG

POCKET: dict[str, Any] = tomllib.loads(CONFIG.read_text())["dit"]
TABLES = pytest.mark.parametrize("table", [TINY, ODD, POCKET])


def test_the_defaults_are_the_engines() -> None:
    ours = {field.name: field.default for field in dataclasses.fields(DitSizes)}
    theirs = {field.name: field.default for field in dataclasses.fields(DiTConfig)}
    assert ours == {name: theirs[name] for name in ours}


@pytest.mark.parametrize("table", [TINY, ODD, POCKET, WAN_1_3B, WAN_14B])
def test_parameters_are_counted_exactly(table: dict[str, Any]) -> None:
    with torch.device("meta"):
        dit = CausalDiT(DiTConfig(**table)).bfloat16()
    sizes = DitSizes.from_table(table)
    assert dit_parameters(sizes).total == sum(parameter.numel() for parameter in dit.parameters())
    tensors = [*dit.parameters(), *dit.buffers()]
    assert dit_weight_bytes(sizes, "bf16") == sum(tensor.nbytes for tensor in tensors)
    large = [
        parameter
        for name, parameter in dit.blocks.named_parameters()
        if parameter.ndim == 2 and name.endswith("weight")
    ]
    assert dit_parameters(sizes).large == sum(parameter.numel() for parameter in large)
    assert dit_parameters(sizes).large_rows == sum(len(parameter) for parameter in large)


@pytest.mark.parametrize("kind", ["bf16", "fp8", "int8"])
def test_weights_of_a_byte_are_counted_exactly(kind: Weights) -> None:
    table: dict[str, Any] = {
        "latent_channels": 4,
        "dim": 64,
        "ffn_dim": 96,
        "heads": 2,
        "layers": 3,
        "text_dim": 32,
    }
    dit = CausalDiT(DiTConfig(**table)).bfloat16().requires_grad_(requires_grad=False)
    dit.quantise(kind)
    dit.pack()
    unique = {
        tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors_of(dit)
    }
    assert dit_weight_bytes(DitSizes.from_table(table), kind) == sum(unique.values())


def tensors_of(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def test_wans_sizes_are_the_published_ones() -> None:
    assert round(dit_parameters(DitSizes.from_table(WAN_1_3B)).total / 1e9, 2) == 1.42
    assert round(dit_parameters(DitSizes.from_table(WAN_14B)).total / 1e9, 2) == 14.29


@TABLES
@pytest.mark.parametrize(("width", "height"), [(48, 32), (16, 80)])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_streams_window_is_counted_exactly(
    table: dict[str, Any], width: int, height: int, rows: int, dtype: torch.dtype
) -> None:
    window = Window(
        DiTConfig(**table),
        rows=rows,
        latent_size=(height // 8, width // 8),
        device=torch.device("cpu"),
        dtype=dtype,
    )
    sizes, cache = DitSizes.from_table(table), window.cache
    keys_values = cache_bytes(sizes, rows=rows, width=width, height=height, number_bytes=dtype.itemsize)
    view = view_bytes(sizes, rows=rows, width=width, height=height)
    assert keys_values + view == cache.nbytes
    assert window_bytes(sizes, rows=rows, width=width, height=height) == tensor_bytes(window)


@TABLES
def test_a_prompt_is_counted_exactly(table: dict[str, Any]) -> None:
    dit = CausalDiT(DiTConfig(**table))
    context = dit.text_context(torch.zeros(1, 11, table["text_dim"]))
    allocated = sum(tensor.nbytes for tensor in (*context.keys, *context.values, context.source[0]))
    assert text_bytes(DitSizes.from_table(table), text_tokens=11, number_bytes=4) == allocated


def tensor_bytes(holder: object) -> int:
    """Bytes of the tensors that are attributes of an object itself."""
    return sum(value.nbytes for value in vars(holder).values() if isinstance(value, torch.Tensor))
