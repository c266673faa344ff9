"""The room that is planned for LoRAs is what their buffers take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.models.sizes import TINY

from limner.daemon.style_file import loras_together
from limner.engine.dit.config import DiTConfig
from limner.engine.dit.model import CausalDiT
from limner.engine.files import LoraShare
from limner.engine.wan.lora import LoraSwitch
from limner.models import catalogue
from limner.models.plan_bytes import GIB, parts_of
from limner.models.plan_cards import Card
from limner.models.plan_choice import MemoryPlan, choose
from limner.models.plan_dit import DitSizes
from limner.models.plan_here import sizes_here
from limner.models.plan_lora import lora_bytes, lora_room_bytes, shapes_in
from limner.models.plan_model import model_sizes
from limner.models.store import Store

LAYERS = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "cross_attn.q", "cross_attn.o")
RANKS = {"a": 8, "b": 20, "c": 64}
WIDE = {"ffn.0": (24, 40), "ffn.2": (40, 24)}
SPELLINGS = {
    "wan": ("diffusion_model.blocks.{}.{}", ".lora_A.weight", ".lora_B.weight", "."),
    "kohya": ("lora_unet_blocks_{}_{}", ".lora_down.weight", ".lora_up.weight", "_"),
}


def write_lora(path: Path, rank: int, spelling: str = "wan", dim: int = 24) -> Path:
    """A LoRA for a denoiser of TINY's shapes, of all its blocks, and of what sees a chunk once."""
    name, down, up, dot = SPELLINGS[spelling]
    tensors = {}
    for block in range(TINY["layers"]):
        for layer, (wide_in, wide_out) in (dict.fromkeys(LAYERS, (dim, dim)) | WIDE).items():
            base = name.format(block, layer.replace(".", dot))
            tensors[base + down] = torch.randn(rank, wide_in)
            tensors[base + up] = torch.randn(wide_out, rank)
    base = {"wan": "diffusion_model.time_embedding.2", "kohya": "lora_unet_time_embedding_2"}[spelling]
    tensors[base + down], tensors[base + up] = torch.randn(rank, dim), torch.randn(dim, rank)
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("rank", [1, 16, 17, 40])
def test_the_buffers_are_counted_exactly(tmp_path: Path, rank: int, spelling: str) -> None:
    path = write_lora(tmp_path / "a.safetensors", rank, spelling)
    dit = CausalDiT(DiTConfig(**TINY)).bfloat16().requires_grad_(requires_grad=False)
    dit.pack()
    switch = LoraSwitch(dit)
    switch.use(switch.read([LoraShare(path=path, weight=0.5)]))
    held = [tensor for buffer in switch._part._buffers.values() for tensor in (buffer._a_RK, buffer._b_NR)]
    assert lora_bytes(shapes_in(path), DitSizes.from_table(TINY)) == sum(tensor.nbytes for tensor in held)


def test_the_largest_one_for_this_model_counts(tmp_path: Path) -> None:
    sizes = DitSizes.from_table(TINY)
    assert lora_room_bytes(tmp_path / "nowhere", sizes) == 0
    write_lora(tmp_path / "small.safetensors", 4)
    large = write_lora(tmp_path / "large.safetensors", 64)
    write_lora(tmp_path / "other.safetensors", 512, dim=32)
    (tmp_path / "damaged.safetensors").write_bytes(b"\xff" * 40)
    (tmp_path / "empty.safetensors").touch()
    assert lora_room_bytes(tmp_path, sizes) == lora_bytes(shapes_in(large), sizes) > 0


def test_those_of_a_style_count_together(tmp_path: Path) -> None:
    sizes = DitSizes.from_table(TINY)
    files = {name: write_lora(tmp_path / f"{name}.safetensors", rank) for name, rank in RANKS.items()}
    write_lora(tmp_path / "other.safetensors", 512, dim=32)
    of = {name: lora_bytes(shapes_in(path), sizes) for name, path in files.items()}
    assert lora_room_bytes(tmp_path, sizes, [["a", "b"]]) == of["c"], "the largest alone is larger"
    assert lora_room_bytes(tmp_path, sizes, [["a", "b"], ["b", "c.safetensors", "gone", "other"]]) == (
        of["b"] + of["c"]
    )
    # What the buffers really take is no more: ranks are rounded up together.
    dit = CausalDiT(DiTConfig(**TINY)).bfloat16().requires_grad_(requires_grad=False)
    switch = LoraSwitch(dit)
    switch.use(switch.read([LoraShare(path=files[name]) for name in ("b", "c")]))
    held = [t.nbytes for buffer in switch._part._buffers.values() for t in (buffer._a_RK, buffer._b_NR)]
    assert of["c"] < sum(held) <= of["b"] + of["c"]


def test_the_users_styles_say_which_those_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_CONFIG_DIR", str(tmp_path))
    assert loras_together() == []
    lines = ['[[styles]]\nname = "Film"\nprompt = "film"\nlora = [{name = "a"}, {name = "b", weight = 0.5}]']
    (tmp_path / "styles.toml").write_text("\n".join(lines), encoding="utf-8")
    assert loras_together() == [["a", "b"]]
    (tmp_path / "styles.toml").write_text("[[styles", encoding="utf-8")
    assert loras_together() == []


def test_a_lora_is_a_part_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_LORAS_DIR", str(tmp_path))
    entry = catalogue.load().find("wan-14b")
    card = Card(index=0, name="a", total_bytes=24 * GIB, free_bytes=24 * GIB, capability=(9, 0))
    assert sizes_here(entry, Store(tmp_path)).lora_bytes == 0
    down, up = torch.zeros(16, 5120, dtype=torch.bfloat16), torch.zeros(5120, 16, dtype=torch.bfloat16)
    layers = [f"blocks.{block}.self_attn.{one}" for block in range(40) for one in "qkvo"]
    save_file(
        {f"{layer}.lora_A.weight": down.clone() for layer in layers}
        | {f"{layer}.lora_B.weight": up.clone() for layer in layers},
        tmp_path / "a.safetensors",
    )
    with_lora = sizes_here(entry, Store(tmp_path))
    assert with_lora.lora_bytes == 160 * 2 * 16 * 5120 * 2
    plans = [choose(sizes, card) for sizes in (model_sizes(entry), with_lora)]
    before, after = (plan for plan in plans if isinstance(plan, MemoryPlan))
    assert {part.name for part in after.parts} - {part.name for part in before.parts} == {"LoRAs"}
    assert after.needed_bytes <= after.free_bytes
    bare = replace(with_lora, lora_bytes=0)
    needed = sum(part.size_bytes for part in parts_of(bare, after.choice))
    assert needed < after.needed_bytes
