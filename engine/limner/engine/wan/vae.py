"""Wan 2.1's causal 3D autoencoder: 4 frames × 8 × 8 pixels become one latent position, a first frame too.

Layouts: frames_BCTHW in [−1, 1], latents_BCTHW. The unit of work is one latent frame: a whole clip runs as
its first frame and then four by four, exactly as a stream does, so chunked equals whole to the last bit.
Parameter names are those of Wan's own weights file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from limner.engine.errors import FrameError
from limner.engine.wan.vae_blocks import (
    HEADROOM,
    AttentionBlock,
    CausalConv3d,
    Downsample,
    PointConv3d,
    ResidualBlock,
    RmsNorm,
    Upsample,
    norm_and_conv,
)
from limner.engine.wan.vae_config import WanVaeConfig
from limner.engine.wan.vae_layout import lay_out
from limner.engine.wan.vae_plan import (
    FRAMES_PER_LATENT,
    SPATIAL_FACTOR,
    ConvPlan,
    decoder_convs,
    decoder_widths,
    encoder_convs,
    encoder_widths,
)
from limner.engine.wan.vae_stream import DecoderStream, EncoderStream, LatentScale, check_size

__all__ = ["WanVae", "WanVaeConfig"]

Past = list[Tensor]


class Encoder(nn.Module):
    """One frame (the first) or four → means and log-variances of one latent frame."""

    def __init__(self, config: WanVaeConfig) -> None:
        super().__init__()
        widths = encoder_widths(config)
        self.conv1 = CausalConv3d(3, widths[0], (3, 3, 3), of_trunk=True)
        self.downsamples = nn.Sequential(*_down_blocks(config))
        self.middle = _middle(widths[-1])
        self.head = _head(widths[-1], 2 * config.latent_channels)

    def forward(self, x_BCTHW: Tensor, past: Past, first: bool) -> Tensor:
        """[B, 3, 1 or 4, H, W] → [B, 2·C, 1, H/8, W/8]; `past` is read and written."""
        each = iter(past)
        hidden = self.conv1(x_BCTHW * HEADROOM, next(each))
        for block in (*self.downsamples, *self.middle):
            hidden = block(hidden, each, first)
        norm, conv = norm_and_conv(self.head[0], self.head[2])
        return conv.over(norm.activated(hidden, next(each)))


class Decoder(nn.Module):
    """One latent frame → one frame (the first) or four."""

    def __init__(self, config: WanVaeConfig) -> None:
        super().__init__()
        widths = decoder_widths(config)
        self.conv1 = CausalConv3d(config.latent_channels, widths[0], (3, 3, 3), of_trunk=True)
        self.middle = _middle(widths[0])
        self.upsamples = nn.Sequential(*_up_blocks(config))
        self.head = _head(widths[-1], 3)

    def forward(self, z_BCTHW: Tensor, past: Past, first: bool) -> Tensor:
        """[B, C, 1, h, w] → [B, 3, 1 or 4, 8h, 8w]; `past` is read and written."""
        each = iter(past)
        hidden = self.conv1(z_BCTHW * HEADROOM, next(each))
        for block in (*self.middle, *self.upsamples):
            hidden = block(hidden, each, first)
        norm, conv = norm_and_conv(self.head[0], self.head[2])
        return conv.over(norm.activated(hidden, next(each)))


def _down_blocks(config: WanVaeConfig) -> list[nn.Module]:
    widths, blocks = encoder_widths(config), list[nn.Module]()
    for level, (wide_in, wide) in enumerate(pairwise(widths)):
        blocks += [ResidualBlock(wide if i else wide_in, wide) for i in range(config.res_blocks)]
        if level < len(config.temporal_downsample):
            blocks.append(Downsample(wide, in_time=config.temporal_downsample[level]))
    return blocks


def _up_blocks(config: WanVaeConfig) -> list[nn.Module]:
    widths, blocks = decoder_widths(config), list[nn.Module]()
    doublings = config.temporal_downsample[::-1]
    for level, (before, wide) in enumerate(pairwise(widths)):
        wide_in = before // 2 if level else before
        blocks += [ResidualBlock(wide if i else wide_in, wide) for i in range(config.res_blocks + 1)]
        if level < len(doublings):
            blocks.append(Upsample(wide, in_time=doublings[level]))
    return blocks


def _middle(wide: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(wide, wide), AttentionBlock(wide), ResidualBlock(wide, wide))


def _head(wide: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(RmsNorm(wide), nn.SiLU(), CausalConv3d(wide, channels_out, (3, 3, 3)))


class WanVae(nn.Module):
    """Wan 2.1's autoencoder, with random weights until some are loaded."""

    def __init__(self, config: WanVaeConfig, *, channels_last: bool = True) -> None:
        """`channels_last`: how activations and weights lie in memory; faster so, on CUDA and on the CPU."""
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.conv1 = PointConv3d(2 * config.latent_channels, 2 * config.latent_channels)
        self.conv2 = PointConv3d(config.latent_channels, config.latent_channels)
        self.decoder = Decoder(config)
        self._channels_last = channels_last
        self._scale = _scale(config, torch.device("cpu"))

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.conv1.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights, and of the latents that it gives."""
        return self.conv1.weight.dtype

    @property
    def latent_channels(self) -> int:
        """Of a latent position."""
        return self.config.latent_channels

    @property
    def memory_format(self) -> torch.memory_format:
        """Of everything with five dimensions."""
        return torch.channels_last_3d if self._channels_last else torch.contiguous_format

    def encoder_past(self, height: int, width: int, batch: int = 1) -> Past:
        """What the encoder remembers before the first frame: zeros."""
        return self._past(encoder_convs(self.config), height, width, batch)

    def decoder_past(self, height: int, width: int, batch: int = 1) -> Past:
        """What the decoder remembers before the first latent frame: zeros."""
        return self._past(decoder_convs(self.config), height, width, batch)

    def encode_unit(self, frames_BCTHW: Tensor, past: Past, *, first: bool = False) -> Tensor:
        """Four frames (the first: one) [B, 3, T, H, W] → one latent frame [B, C, 1, H/8, W/8], the mean."""
        frames_BCTHW = frames_BCTHW.contiguous(memory_format=self.memory_format)
        moments = self.conv1(self.encoder(frames_BCTHW, past, first))
        raw: Tensor = moments[:, : self.latent_channels]
        return self._scale.normalised(raw) if self.config.normalise_encoded else raw

    def decode_unit(self, latents_BCTHW: Tensor, past: Past, *, first: bool = False) -> Tensor:
        """One latent frame [B, C, 1, h, w] → four frames (the first: one) [B, 3, T, 8h, 8w], not clamped."""
        raw_BCTHW = self._scale.raw(latents_BCTHW).contiguous(memory_format=self.memory_format)
        frames: Tensor = self.decoder(self.conv2(raw_BCTHW), past, first)
        return frames

    @torch.inference_mode()
    def encode(self, frames_BCTHW: Tensor) -> Tensor:
        """Whole clips in [−1, 1], [B, 3, 1+4k, H, W] → latents [B, C, 1+k, H/8, W/8]."""
        batch, _, time, height, width = frames_BCTHW.shape
        check_size(height, width)
        if time % FRAMES_PER_LATENT != 1:
            raise FrameError(f"the clip has {time} frames; a whole one has 1 + 4k")
        self.prepare()
        past = self.encoder_past(height, width, batch)
        first, rest = frames_BCTHW[:, :, :1], frames_BCTHW[:, :, 1:]
        latents = [self.encode_unit(first, past, first=True)]
        latents += [
            self.encode_unit(unit, past) for unit in torch.split(rest, FRAMES_PER_LATENT, 2) if time > 1
        ]
        return torch.cat(latents, 2)

    @torch.inference_mode()
    def decode(self, latents_BCTHW: Tensor) -> Tensor:
        """Normalised latents [B, C, 1+k, h, w] → whole clips [B, 3, 1+4k, 8h, 8w], not clamped."""
        batch, _, _, height, width = latents_BCTHW.shape
        self.prepare()
        past = self.decoder_past(SPATIAL_FACTOR * height, SPATIAL_FACTOR * width, batch)
        units = enumerate(torch.split(latents_BCTHW, 1, 2))
        return torch.cat([self.decode_unit(unit, past, first=i == 0) for i, unit in units], 2)

    def encoder_stream(self, height: int, width: int) -> EncoderStream:
        """A new stream of pictures of height × width pixels."""
        self.prepare()
        return EncoderStream(self, height, width)

    def decoder_stream(self, height: int, width: int) -> DecoderStream:
        """A new stream of pictures of height × width pixels."""
        self.prepare()
        return DecoderStream(self, height, width)

    @torch.no_grad()
    def prepare(self) -> None:
        """Let the weights lie as the activations do, and the scale be with them. Cheap when done already."""
        lay_out(self, channels_last=self._channels_last)
        for conv in (*encoder_convs(self.config), *decoder_convs(self.config)):
            if conv.has_fewer_products:
                cast(CausalConv3d, self.get_submodule(conv.name)).hasten(conv.frames)
        if self._scale.mean.device != self.device:
            self._scale = _scale(self.config, self.device)

    def _past(self, convs: Sequence[ConvPlan], height: int, width: int, batch: int) -> Past:
        shapes = [(batch, *conv.past_shape(height, width)) for conv in convs if conv.past_frames]
        return [
            torch.zeros(shape, dtype=self.dtype, device=self.device).contiguous(
                memory_format=self.memory_format
            )
            for shape in shapes
        ]


def _scale(config: WanVaeConfig, device: torch.device) -> LatentScale:
    return LatentScale.of(config.latents_mean, config.latents_std, device)
