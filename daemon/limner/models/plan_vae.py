"""Bytes of Wan's autoencoder: a walk over its layers, of which weights and caches are sums. No torch.

The walk follows the published architecture: levels of residual blocks, each level half the size of the one
before, with attention in the middle. A causal convolution over time remembers its last input frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

FRAMES_PER_LATENT = 4
RGB = 3


@dataclass(frozen=True, kw_only=True)
class WanVaeSizes:
    """The sizes of Wan's autoencoder; names and defaults of a `[vae]` table with `kind = "wan"`."""

    latent_channels: int = 16
    base_dim: int = 96
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    res_blocks: int = 2
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    fewer_products: bool = False

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> WanVaeSizes:
        """Take what matters here of a config's table."""
        known = {name: table[name] for name in cls.__dataclass_fields__ if name in table}
        for name in ("dim_mult", "temporal_downsample"):
            if name in known:
                known[name] = tuple(known[name])
        return cls(**known)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer with weights: parameters, and what it must remember of its input between chunks."""

    parameters: int
    kept_frames: int = 0
    channels: int = 0
    """Of the input."""
    shrink: int = 1
    """How much smaller a side of its input is than of the picture."""

    def kept(self, width: int, height: int) -> int:
        """Numbers that it remembers for pictures of this size."""
        return self.kept_frames * self.channels * (width // self.shrink) * (height // self.shrink)


def encoder_layers(vae: WanVaeSizes) -> Iterator[Layer]:
    """Walk the encoder and the projection after it."""
    dims = [vae.base_dim * mult for mult in (1, *vae.dim_mult)]
    shrink, last = 1, len(vae.dim_mult) - 1
    yield _causal(RGB, dims[0], shrink)
    for level, (dim_in, dim) in enumerate(pairwise(dims)):
        for block in range(vae.res_blocks):
            yield from _residual(dim_in if block == 0 else dim, dim, shrink)
        if level < last:
            yield _plain(9 * dim * dim + dim)
            shrink *= 2
            if vae.temporal_downsample[level]:
                yield Layer(parameters=3 * dim * dim + dim, kept_frames=1, channels=dim, shrink=shrink)
    yield from _middle(dims[-1], shrink)
    yield _plain(dims[-1])
    moments = 2 * vae.latent_channels
    yield _causal(dims[-1], moments, shrink)
    yield _plain(moments * moments + moments)


def decoder_layers(vae: WanVaeSizes) -> Iterator[Layer]:
    """Walk the projection before the decoder, and the decoder."""
    mults = (vae.dim_mult[-1], *reversed(vae.dim_mult))
    dims = [vae.base_dim * mult for mult in mults]
    over_time = tuple(reversed(vae.temporal_downsample))
    last = len(vae.dim_mult) - 1
    shrink = 2**last
    yield _plain(vae.latent_channels**2 + vae.latent_channels)
    yield _causal(vae.latent_channels, dims[0], shrink)
    yield from _middle(dims[0], shrink)
    for level, (dim_in, dim) in enumerate(pairwise(dims)):
        # A level begins with what the upsampling before it left: half of its channels.
        first = dim_in if level == 0 else dim_in // 2
        for block in range(vae.res_blocks + 1):
            yield from _residual(first if block == 0 else dim, dim, shrink)
        if level < last:
            if over_time[level]:
                yield Layer(parameters=6 * dim * dim + 2 * dim, kept_frames=2, channels=dim, shrink=shrink)
            shrink //= 2
            yield _plain(9 * dim * (dim // 2) + dim // 2)
    yield _plain(dims[-1])
    yield _causal(dims[-1], RGB, shrink)


def vae_parameters(vae: WanVaeSizes) -> int:
    """Count the parameters of encoder, decoder and projections."""
    return sum(layer.parameters for layer in (*encoder_layers(vae), *decoder_layers(vae)))


def vae_cache_numbers(vae: WanVaeSizes, width: int, height: int) -> int:
    """Count the numbers that the streams of one session remember, both ways."""
    return sum(layer.kept(width, height) for layer in (*encoder_layers(vae), *decoder_layers(vae)))


def hastened_parameters(vae: WanVaeSizes) -> int:
    """Count what `fewer_products` keeps beside the weights: a kernel of 3×3 for each frame of a window."""
    if not vae.fewer_products:
        return 0
    return sum(
        (frames + 2) * 9 * dim_in * dim_out
        for dim_in, dim_out, frames in _over_time(vae)
        if frames > 1 and min(dim_in, dim_out) >= vae.base_dim
    )


def _over_time(vae: WanVaeSizes) -> Iterator[tuple[int, int, int]]:
    """Walk the residual blocks' causal convolutions: channels in and out, frames at a time."""
    dims = [vae.base_dim * mult for mult in (1, *vae.dim_mult)]
    frames = FRAMES_PER_LATENT
    for level, (dim_in, dim) in enumerate(pairwise(dims)):
        yield (dim_in, dim, frames)
        yield from [(dim, dim, frames)] * (2 * vae.res_blocks - 1)
        if level < len(vae.temporal_downsample) and vae.temporal_downsample[level]:
            frames //= 2
    doubled = tuple(reversed(vae.temporal_downsample))
    dims = [vae.base_dim * mult for mult in (vae.dim_mult[-1], *reversed(vae.dim_mult))]
    for level, (dim_in, dim) in enumerate(pairwise(dims)):
        yield (dim_in // 2 if level else dim_in, dim, frames)
        yield from [(dim, dim, frames)] * (2 * vae.res_blocks + 1)
        if level < len(doubled) and doubled[level]:
            frames *= 2


def _residual(dim_in: int, dim: int, shrink: int) -> Iterator[Layer]:
    yield _plain(dim_in + dim)  # The norms' gains.
    yield _causal(dim_in, dim, shrink)
    yield _causal(dim, dim, shrink)
    if dim_in != dim:
        yield _plain(dim_in * dim + dim)


def _middle(dim: int, shrink: int) -> Iterator[Layer]:
    yield from _residual(dim, dim, shrink)
    yield _plain(dim + 3 * dim * dim + 3 * dim + dim * dim + dim)
    yield from _residual(dim, dim, shrink)


def _causal(dim_in: int, dim_out: int, shrink: int) -> Layer:
    """A convolution of 3×3×3 that sees the two frames before."""
    return Layer(parameters=27 * dim_in * dim_out + dim_out, kept_frames=2, channels=dim_in, shrink=shrink)


def _plain(parameters: int) -> Layer:
    return Layer(parameters=parameters)
