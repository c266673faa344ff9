"""A rank's part of a DiT takes the bytes that are planned for it: its blocks, caches and texts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.distributed.rings import weights_of
from tests.engine.tiny import random_weights, tiny_config
from tests.models.sizes import ODD, TINY

from limner.engine.config import ModelConfig
from limner.engine.dit import linear
from limner.engine.dit.config import DiTConfig
from limner.engine.dit.finish import finisher
from limner.engine.pipeline.packets import FlowPacket
from limner.engine.pipeline.part_dit import BlockFiles, PartDiT
from limner.engine.pipeline.stage import Stage
from limner.models.plan_dit import DitSizes, Weights, view_bytes
from limner.models.plan_stage import (
    blocks_cache_bytes,
    blocks_text_bytes,
    blocks_weight_bytes,
    embedded_text_bytes,
    ends_weight_bytes,
    packet_bytes,
)

TEXT_TOKENS = 11
CPU = torch.device("cpu")
WIDE: dict[str, Any] = {"dim": 32, "ffn_dim": 48, "heads": 2, "layers": 4}
"""Of widths that fp8 can have."""


@pytest.fixture(autouse=True)
def as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where weights are tensors: what a processor has packed, nobody can count."""
    monkeypatch.setattr(linear, "can_pack", lambda _: False)


def config_with(table: dict[str, Any]) -> ModelConfig:
    config = tiny_config(kind="fresh")
    text_dim, channels = config.dit.text_dim, config.dit.latent_channels
    return dataclasses.replace(
        config, dit=DiTConfig(**(table | {"text_dim": text_dim, "latent_channels": channels}))
    )


def files_of(config: ModelConfig, folder: Path, weights: Weights = "bf16") -> BlockFiles:
    path = weights_of(random_weights(config), folder)
    return BlockFiles(config, path, device=CPU, dtype=torch.bfloat16, on_full=finisher(weights))


def real_bytes(dit: PartDiT) -> int:
    """Of all parameters and buffers that have memory, each once."""
    tensors = [tensor for tensor in (*dit.parameters(), *dit.buffers()) if not tensor.is_meta]
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize("table", [TINY | {"layers": 4}, ODD | {"layers": 4}])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("held", [range(0), range(1, 2), range(1, 4)])
def test_the_weights_of_a_rank(table: dict[str, Any], is_first: bool, held: range, tmp_path: Path) -> None:
    config = config_with(table)
    files = files_of(config, tmp_path)
    stage = Stage(files.dit(is_first=is_first))
    stage.hold(files.block, held)
    sizes = DitSizes.from_table(dataclasses.asdict(config.dit))
    planned = blocks_weight_bytes(sizes, "bf16", blocks=len(held))
    assert real_bytes(stage.dit) == planned + ends_weight_bytes(sizes, is_first=is_first)


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_the_weights_of_a_rank_in_a_byte_a_number(kind: Weights, tmp_path: Path) -> None:
    config = config_with(TINY | WIDE)
    files = files_of(config, tmp_path, kind)
    stage = Stage(files.dit(is_first=False))
    stage.hold(files.block, range(1, 4))
    sizes = DitSizes.from_table(dataclasses.asdict(config.dit))
    planned = blocks_weight_bytes(sizes, kind, blocks=3) + ends_weight_bytes(sizes, is_first=False)
    assert real_bytes(stage.dit) == planned


@pytest.mark.parametrize("table", [TINY | {"layers": 4}, ODD | {"layers": 4}])
@pytest.mark.parametrize("rows", [1, 3])
def test_what_streams_remember_in_a_ranks_blocks(table: dict[str, Any], rows: int, tmp_path: Path) -> None:
    config, held = config_with(table), range(1, 3)
    files, dit = files_of(config, tmp_path), config.dit
    stage = Stage(files.dit(is_first=False))
    stage.hold(files.block, held)
    width, height = 48, 32
    cache = stage.open(0, rows, (height // 8 // dit.patch, width // 8 // dit.patch))
    pairs = [tensor for layer in cache.layers for tensor in cache.pair(layer)]
    sizes = DitSizes.from_table(dataclasses.asdict(dit))
    shown = {"rows": rows, "width": width, "height": height}
    assert sum(t.nbytes for t in pairs) == blocks_cache_bytes(sizes, blocks=len(held), **shown)
    assert cache.nbytes == view_bytes(sizes, **shown)


@pytest.mark.parametrize("table", [TINY | {"layers": 4}, ODD | {"layers": 4}])
def test_a_prompt_in_a_ranks_blocks(table: dict[str, Any], tmp_path: Path) -> None:
    config, held = config_with(table), range(2, 4)
    files = files_of(config, tmp_path)
    stage = Stage(files.dit(is_first=False))
    stage.hold(files.block, held)
    text_RSD = torch.zeros(1, TEXT_TOKENS, config.dit.dim, dtype=torch.bfloat16)
    stage.text(0, text_RSD, None)
    sizes = DitSizes.from_table(dataclasses.asdict(config.dit))
    kept = sum(tensor.nbytes for tensor in stage.texts[0].tensors())
    assert kept == blocks_text_bytes(sizes, blocks=len(held), text_tokens=TEXT_TOKENS)
    assert text_RSD.nbytes == embedded_text_bytes(sizes, text_tokens=TEXT_TOKENS)


@pytest.mark.parametrize("wide", [False, True])
def test_a_forward_on_its_way(wide: bool, tmp_path: Path) -> None:
    config = config_with(TINY | {"wide_residual": wide})
    dit, sizes = (
        files_of(config, tmp_path).dit(is_first=False),
        DitSizes.from_table(dataclasses.asdict(config.dit)),
    )
    layout = FlowPacket.layout(dit.config, dit.flow_dtype, frames=1, tokens=sizes.tokens(48, 32), votes=False)
    aligned = layout.size_bytes - packet_bytes(sizes, width=48, height=32)
    assert 0 <= aligned < 3 * 64
