"""A model as the memory plan sees it: the sizes of its parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from limner.models.entry import Entry
from limner.models.plan_dit import DitSizes
from limner.models.plan_small_vae import PocketVaeSizes, TaehvSizes, pocket_vae_layers, taehv_layers
from limner.models.plan_vae import Layer, WanVaeSizes, decoder_layers, encoder_layers

VaeKind = Literal["wan", "taehv", "pocket"]
Size = tuple[int, int]
"""(width, height), pixels."""
SAME_ASPECT = 0.15
"""Sizes whose aspects' logarithms differ by less are the same picture, smaller."""


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """What the bytes of a model depend on."""

    name: str
    dit: DitSizes
    vae: WanVaeSizes | TaehvSizes | PocketVaeSizes
    """Its own."""
    has_taehv: bool
    """It can paint with TAEHV, as its own or instead."""
    text_tokens: int
    has_umt5: bool
    sizes: tuple[Size, ...]
    """Working sizes, the best first, of one aspect."""
    chunk_latents: int = 1
    """Latent frames of a chunk, as it was made for."""
    lora_bytes: int = 0
    """Room for LoRAs: what the largest one on this machine takes."""

    @property
    def vaes(self) -> tuple[VaeKind, ...]:
        """Autoencoders that it can paint with, the best first."""
        if isinstance(self.vae, WanVaeSizes):
            return ("wan", "taehv") if self.has_taehv else ("wan",)
        return ("pocket",) if isinstance(self.vae, PocketVaeSizes) else ("taehv",)

    @property
    def taehv(self) -> TaehvSizes:
        """TAEHV's sizes, where it has that."""
        if isinstance(self.vae, TaehvSizes):
            return self.vae
        return TaehvSizes(latent_channels=self.dit.latent_channels)

    def vae_layers(self, kind: VaeKind) -> tuple[Layer, ...]:
        """Walk the layers of one of its autoencoders."""
        if kind == "taehv":
            return tuple(taehv_layers(self.taehv))
        if isinstance(self.vae, PocketVaeSizes):
            return tuple(pocket_vae_layers(self.vae))
        assert isinstance(self.vae, WanVaeSizes), "a kind that is not among `vaes`"
        return (*encoder_layers(self.vae), *decoder_layers(self.vae))


def model_sizes(entry: Entry) -> ModelSizes:
    """Take the sizes from a model of the catalogue."""
    engine = entry.engine
    sizes = sizes_of_aspect(entry.default_size, entry.sizes)
    return ModelSizes(
        name=entry.name,
        dit=DitSizes.from_table(engine["dit"]),
        vae=_vae_of(engine["vae"]),
        has_taehv="taehv" in entry.parts,
        text_tokens=int(engine["text"].get("length", 16)),
        has_umt5=engine["text"].get("kind") == "umt5",
        sizes=sizes,
        chunk_latents=entry.latent_frames_per_chunk,
    )


def sizes_of_aspect(best: Size, listed: tuple[Size, ...]) -> tuple[Size, ...]:
    """Return the best size, then the smaller ones of about its aspect, the largest first."""
    area = best[0] * best[1]
    alike = [
        size
        for size in listed
        if abs(math.log(size[0] * best[1] / (size[1] * best[0]))) < SAME_ASPECT and size[0] * size[1] < area
    ]
    return (best, *sorted(alike, key=lambda size: -size[0] * size[1]))


def _vae_of(table: Mapping[str, Any]) -> WanVaeSizes | TaehvSizes | PocketVaeSizes:
    kind = table.get("kind", "pocket")
    if kind == "wan":
        return WanVaeSizes.from_table(table)
    return TaehvSizes.from_table(table) if kind == "taehv" else PocketVaeSizes.from_table(table)
