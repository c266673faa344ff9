"""The small autoencoders, pocket's and TAEHV: predicted bytes are those that the engine allocates."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from limner.engine.vae import PocketVae, VaeConfig
from limner.engine.wan.taehv import Taehv, TaehvConfig
from limner.models.plan_small_vae import (
    PocketVaeSizes,
    TaehvSizes,
    pocket_vae_buffers,
    pocket_vae_layers,
    taehv_layers,
)


@pytest.mark.parametrize(("mine", "its"), [(PocketVaeSizes, VaeConfig), (TaehvSizes, TaehvConfig)])
def test_the_defaults_are_the_engines(mine: Any, its: Any) -> None:
    theirs = {field.name: field.default for field in dataclasses.fields(its)}
    ours = {field.name: field.default for field in dataclasses.fields(mine)}
    assert ours == {name: theirs[name] for name in ours}


@pytest.mark.parametrize(
    "table", [{}, {"latent_channels": 5, "fine_width": 7, "coarse_width": 9, "frame_width": 3}]
)
def test_weights_and_caches_are_counted_exactly(table: dict[str, Any]) -> None:
    vae, sizes = PocketVae(VaeConfig(**table)), PocketVaeSizes.from_table(table)
    layers = list(pocket_vae_layers(sizes))
    counted = sum(layer.parameters for layer in layers) + pocket_vae_buffers(sizes)
    assert counted == sum(tensor.numel() for tensor in (*vae.parameters(), *vae.buffers()))
    states = (*vae.encoder_state(1, 40, 56), *vae.decoder_state(1, 40, 56))
    assert sum(layer.kept(56, 40) for layer in layers) == sum(state.numel() for state in states)


@pytest.mark.parametrize("table", [{}, {"encoder_width": 6, "decoder_widths": [9, 8, 7, 5]}])
def test_taehv_is_counted_exactly(table: dict[str, Any]) -> None:
    layers = list(taehv_layers(TaehvSizes.from_table({"kind": "taehv"} | table)))
    fields: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
    vae = Taehv(TaehvConfig(**fields))
    tensors = [*vae.parameters(), *vae.buffers()]
    assert sum(layer.parameters for layer in layers) == sum(tensor.numel() for tensor in tensors)
    past = [*vae.encoder_past(40, 56), *vae.decoder_past(40, 56)]
    assert sum(layer.kept(56, 40) for layer in layers) == sum(buffer.numel() for buffer in past)
