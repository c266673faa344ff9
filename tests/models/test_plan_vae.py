"""Wan's autoencoder: the walk over its layers counts what others count."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import pytest
import torch

from limner.engine.wan.vae import WanVae
from limner.engine.wan.vae_config import WanVaeConfig
from limner.models.plan_vae import (
    WanVaeSizes,
    decoder_layers,
    encoder_layers,
    vae_cache_numbers,
    vae_parameters,
)


@pytest.mark.parametrize(
    "sizes",
    [
        WanVaeSizes(),
        WanVaeSizes(latent_channels=5, base_dim=8),
        WanVaeSizes(base_dim=6, dim_mult=(1, 2, 2), res_blocks=1, temporal_downsample=(True, False)),
    ],
)
def test_parameters_as_an_independent_implementation_has_them(sizes: WanVaeSizes) -> None:
    with torch.device("meta"):
        vae = independent().AutoencoderKLWan(
            base_dim=sizes.base_dim,
            z_dim=sizes.latent_channels,
            dim_mult=list(sizes.dim_mult),
            num_res_blocks=sizes.res_blocks,
            temperal_downsample=list(sizes.temporal_downsample),
        )
    assert vae_parameters(sizes) == sum(parameter.numel() for parameter in vae.parameters())


def test_what_every_causal_convolution_of_the_independent_implementation_is_fed() -> None:
    with torch.device("meta"):
        vae = independent().AutoencoderKLWan()
    for half, layers in ((vae.encoder, encoder_layers), (vae.decoder, decoder_layers)):
        over_time = [layer.channels for layer in layers(WanVaeSizes()) if layer.kept_frames]
        assert sorted(over_time) == sorted(
            conv.in_channels
            for conv in half.modules()
            if isinstance(conv, independent().WanCausalConv3d) and conv.kernel_size[0] > 1
        )


def independent() -> Any:
    """The module of diffusers, which has no types."""
    return importlib.import_module("diffusers.models.autoencoders.autoencoder_kl_wan")


@pytest.mark.parametrize("table", [{}, {"base_dim": 8, "res_blocks": 1}])
def test_the_engines_own_is_counted_exactly(table: dict[str, int]) -> None:
    config = WanVaeConfig(**table)  # type: ignore[arg-type]  # numbers alone
    with torch.device("meta"):
        vae = WanVae(config).bfloat16()
    sizes = WanVaeSizes.from_table({"kind": "wan"} | table)
    tensors = [*vae.parameters(), *vae.buffers()]
    assert vae_parameters(sizes) == sum(tensor.numel() for tensor in tensors)
    past = [*vae.encoder_past(40, 56), *vae.decoder_past(40, 56)]
    assert vae_cache_numbers(sizes, 56, 40) == sum(buffer.numel() for buffer in past)


def test_the_defaults_are_the_engines() -> None:
    theirs = {field.name: field.default for field in dataclasses.fields(WanVaeConfig)}
    ours = {field.name: field.default for field in dataclasses.fields(WanVaeSizes)}
    assert ours == {name: theirs[name] for name in ours}
