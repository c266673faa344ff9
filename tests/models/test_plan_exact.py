"""Of every model and every choice: what the plan says weights and histories take is what is allocated.

On the meta device, which gives tensors their sizes and no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from limner.engine.config import ModelConfig
from limner.engine.dit import linear
from limner.engine.dit.model import CausalDiT
from limner.engine.dit.window import Window
from limner.engine.wan.taehv import Taehv
from limner.engine.wan.vae import WanVae
from limner.engine.wan.vae_config import WanVaeConfig
from limner.models import catalogue
from limner.models.plan_bytes import GIB, Choice, parts_of
from limner.models.plan_cards import Card
from limner.models.plan_choice import MemoryPlan, Wishes, choices, choose
from limner.models.plan_model import ModelSizes, model_sizes
from limner.models.plan_vae import WanVaeSizes
from limner.worker.model_plan import table_for

META = torch.device("meta")
MODELS = ("wan-1.3b", "wan-1.3b-taehv", "wan-14b", "wan-14b-taehv")
CARD = Card(index=0, name="a card", total_bytes=80 * GIB, free_bytes=80 * GIB, capability=(9, 0))


@pytest.fixture(autouse=True)
def fp8_as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "fp8_form", lambda _: "rows")


def sizes_of(name: str) -> ModelSizes:
    return model_sizes(catalogue.load().find(name))


def config_of(name: str, choice: Choice) -> ModelConfig:
    """As the worker makes it of the plan."""
    table = dict(catalogue.load().find(name).engine)
    return ModelConfig.from_table(table_for({**table, "name": name}, choice))


def bytes_of(tensors: Iterator[torch.Tensor]) -> int:
    """Of storages, each once."""
    storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def planned(name: str, choice: Choice) -> dict[str, int]:
    return {part.name: part.size_bytes for part in parts_of(sizes_of(name), choice)}


def all_choices(name: str) -> list[Choice]:
    return list(choices(sizes_of(name), CARD, Wishes(text="cpu")))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["bf16", "fp8", "int8"])
def test_the_denoisers_weights(name: str, kind: Any) -> None:
    choice = replace(all_choices(name)[0], weights=kind)
    with META:
        dit = CausalDiT(config_of(name, choice).dit).bfloat16().requires_grad_(requires_grad=False)
    dit.quantise(kind)
    dit.pack()
    assert planned(name, choice)["denoiser"] == bytes_of(iter([*dit.parameters(), *dit.buffers()]))


@pytest.mark.parametrize("name", MODELS)
def test_history_and_autoencoder_of_every_choice(name: str) -> None:
    """Sizes of the picture, windows, steps, both autoencoders."""
    seen = set()
    for choice in all_choices(name):
        key = (choice.size, choice.vae, choice.window_frames, choice.sink_frames, choice.steps)
        if key in seen:
            continue
        seen.add(key)
        config, (width, height) = config_of(name, choice), choice.size
        window = Window(
            config.dit,
            rows=choice.steps,
            latent_size=(height // 8, width // 8),
            device=META,
            dtype=torch.bfloat16,
        )
        kept = [tensor for tensor in vars(window).values() if isinstance(tensor, torch.Tensor)]
        plan = planned(name, choice)
        assert plan["history"] == window.cache.nbytes + bytes_of(iter(kept))
        with META:
            vae = Taehv(config.vae) if choice.vae == "taehv" else WanVae(config.vae)  # type: ignore[arg-type]
            vae = vae.bfloat16()
        assert plan["autoencoder"] == bytes_of(iter([*vae.parameters(), *vae.buffers()]))
        past = [*vae.encoder_past(height, width), *vae.decoder_past(height, width)]
        assert plan["autoencoder's memory"] == bytes_of(iter(past))
    assert len(seen) >= 3 * 4 * 2
    assert {steps for *_, steps in seen} == {1, 2, 3, 4}


def test_fewer_products_keep_more_weights() -> None:
    choice = replace(all_choices("wan-1.3b")[0], vae="wan")
    sizes = sizes_of("wan-1.3b")
    assert isinstance(sizes.vae, WanVaeSizes)
    fast = replace(sizes, vae=replace(sizes.vae, fewer_products=True))
    config = config_of("wan-1.3b", choice).vae
    assert isinstance(config, WanVaeConfig)
    with META:
        vae = WanVae(replace(config, fewer_products=True)).bfloat16()
        vae.prepare()
    kernels = [
        kernel
        for module in vae.modules()
        for kernel in getattr(getattr(module, "_fast", None), "_kernels", [])
    ]
    parts = {part.name: part.size_bytes for part in parts_of(fast, choice)}
    assert bytes_of(iter(kernels)) > 130_000_000
    assert parts["autoencoder"] == bytes_of(iter([*vae.parameters(), *kernels]))


@pytest.mark.parametrize("longest", [1, 2, 4])
def test_longer_chunks_are_planned_for_where_they_are_wished(longest: int) -> None:
    plan = choose(sizes_of("wan-1.3b"), CARD, Wishes(chunk=longest))
    assert isinstance(plan, MemoryPlan)
    assert plan.choice.chunk_latents == longest
    short = replace(plan.choice, chunk_latents=1)
    more = (
        planned("wan-1.3b", plan.choice)["denoiser at work"] - planned("wan-1.3b", short)["denoiser at work"]
    )
    assert (more > 0) == (longest > 1)


def test_a_model_that_was_made_for_longer_chunks_is_planned_with_them() -> None:
    own = replace(sizes_of("wan-1.3b"), chunk_latents=3)
    for choice in choices(own, CARD, Wishes(chunk=1)):
        assert choice.chunk_latents == 3
