"""Every convolution of Wan's autoencoder, in the order in which they run. No torch here.

The modules are built with these sizes, a stream's memory is laid out by them, and operations and bytes are
counted from them, so that what is planned is what is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from limner.engine.wan.vae_config import WanVaeConfig

FRAMES_PER_LATENT = 4
SPATIAL_FACTOR = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvPlan:
    """One convolution, at work on one latent frame (after the first of a clip)."""

    name: str
    """As in the weights file, without `.weight`."""
    channels_in: int
    """Of its input."""
    channels_out: int
    """Of its output."""
    kernel: tuple[int, int, int]
    """Over frames, rows and columns; a convolution of single frames has 1 frame."""
    frames: int
    """That it gives."""
    divisor: int
    """A side of its output is this part of the picture's."""
    past_frames: int = 0
    """Of its input that a stream keeps. Input and output are of one size where this is not 0."""
    frame_stride: int = 1
    """Frames of its input for each that it gives."""
    side_stride: int = 1
    """A side of its input is so many times that of its output."""

    has_fewer_products: bool = False
    """Runs as `vae_time` does."""

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        rows, columns, depth = self.kernel
        return self.channels_out * (self.channels_in * rows * columns * depth + 1)

    def flops(self, height: int, width: int) -> int:
        """Multiplications and additions for pictures of height × width pixels, biases left out."""
        time, rows, columns = self.kernel
        each = 2 * self.channels_in * self.channels_out * rows * columns
        frames = self.frames + time - 1 if self.has_fewer_products else self.frames * time
        return each * frames * (height // self.divisor) * (width // self.divisor)

    def moved(self, height: int, width: int) -> int:
        """Numbers of its input, its weights and its output, for pictures of height × width pixels."""
        positions = (height // self.divisor) * (width // self.divisor)
        given = self.channels_in * (self.past_frames + self.frames * self.frame_stride) * positions
        return given * self.side_stride**2 + self.parameters + self.channels_out * self.frames * positions

    def past_items(self, height: int, width: int) -> int:
        """Numbers that a stream keeps."""
        channels, frames, rows, columns = self.past_shape(height, width)
        return channels * frames * rows * columns

    def past_shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """[C, past frames, h, w] that a stream keeps, for pictures of height × width pixels."""
        return self.channels_in, self.past_frames, height // self.divisor, width // self.divisor


def encoder_convs(config: WanVaeConfig) -> tuple[ConvPlan, ...]:
    """From 3 channels to means and log-variances of the latent channels, with `conv1` behind the encoder."""
    return _hastened(config, _encoder(config))


def decoder_convs(config: WanVaeConfig) -> tuple[ConvPlan, ...]:
    """`conv2`, and the decoder behind it."""
    return _hastened(config, _decoder(config))


def _hastened(config: WanVaeConfig, convs: Iterator[ConvPlan]) -> tuple[ConvPlan, ...]:
    """Where it is worth it: several frames at once, and channels enough on both sides."""
    return tuple(
        replace(conv, has_fewer_products=True)
        if config.fewer_products
        and conv.kernel == (3, 3, 3)
        and conv.frames > 1
        and min(conv.channels_in, conv.channels_out) >= config.base_dim
        else conv
        for conv in convs
    )


def encoder_widths(config: WanVaeConfig) -> tuple[int, ...]:
    """Channels at the start and behind each level."""
    return tuple(config.base_dim * factor for factor in (1, *config.dim_mult))


def decoder_widths(config: WanVaeConfig) -> tuple[int, ...]:
    """Channels at the start and behind each level's residual blocks; going up halves them."""
    return tuple(config.base_dim * factor for factor in (config.dim_mult[-1], *reversed(config.dim_mult)))


def _encoder(config: WanVaeConfig) -> Iterator[ConvPlan]:
    widths, latent = encoder_widths(config), config.latent_channels
    frames, divisor, index = FRAMES_PER_LATENT, 1, 0
    yield _causal("encoder.conv1", 3, widths[0], frames, divisor)
    for level, (wide_in, wide) in enumerate(pairwise(widths)):
        for block in range(config.res_blocks):
            name = f"encoder.downsamples.{index}"
            yield from _residual(name, wide if block else wide_in, wide, frames, divisor)
            index += 1
        if level < len(config.temporal_downsample):
            name, divisor = f"encoder.downsamples.{index}", 2 * divisor
            yield _flat(f"{name}.resample.1", wide, wide, frames, divisor, side=3, stride=2)
            if config.temporal_downsample[level]:
                frames //= 2
                yield _in_time(f"{name}.time_conv", wide, wide, frames, divisor, past_frames=1)
            index += 1
    yield from _middle("encoder.middle", widths[-1], frames, divisor)
    yield _causal("encoder.head.2", widths[-1], 2 * latent, frames, divisor)
    yield _flat("conv1", 2 * latent, 2 * latent, frames, divisor)


def _decoder(config: WanVaeConfig) -> Iterator[ConvPlan]:
    widths, latent = decoder_widths(config), config.latent_channels
    frames, divisor, index = 1, SPATIAL_FACTOR, 0
    yield _flat("conv2", latent, latent, frames, divisor)
    yield _causal("decoder.conv1", latent, widths[0], frames, divisor)
    yield from _middle("decoder.middle", widths[0], frames, divisor)
    halvings = config.temporal_downsample[::-1]
    for level, (before, wide) in enumerate(pairwise(widths)):
        wide_in = before // 2 if level else before
        for block in range(config.res_blocks + 1):
            name = f"decoder.upsamples.{index}"
            yield from _residual(name, wide if block else wide_in, wide, frames, divisor)
            index += 1
        if level < len(halvings):
            name = f"decoder.upsamples.{index}"
            if halvings[level]:
                yield _in_time(f"{name}.time_conv", wide, 2 * wide, frames, divisor, past_frames=2)
                frames *= 2
            divisor //= 2
            yield _flat(f"{name}.resample.1", wide, wide // 2, frames, divisor, side=3)
            index += 1
    yield _causal("decoder.head.2", widths[-1], 3, frames, divisor)


def _residual(name: str, wide_in: int, wide: int, frames: int, divisor: int) -> Iterator[ConvPlan]:
    yield _causal(f"{name}.residual.2", wide_in, wide, frames, divisor)
    yield _causal(f"{name}.residual.6", wide, wide, frames, divisor)
    if wide_in != wide:
        yield _flat(f"{name}.shortcut", wide_in, wide, frames, divisor)


def _middle(name: str, wide: int, frames: int, divisor: int) -> Iterator[ConvPlan]:
    yield from _residual(f"{name}.0", wide, wide, frames, divisor)
    yield _flat(f"{name}.1.to_qkv", wide, 3 * wide, frames, divisor)
    yield _flat(f"{name}.1.proj", wide, wide, frames, divisor)
    yield from _residual(f"{name}.2", wide, wide, frames, divisor)


def _causal(name: str, wide_in: int, wide: int, frames: int, divisor: int) -> ConvPlan:
    return ConvPlan(
        name=name,
        channels_in=wide_in,
        channels_out=wide,
        kernel=(3, 3, 3),
        frames=frames,
        divisor=divisor,
        past_frames=2,
    )


def _flat(
    name: str, wide_in: int, wide: int, frames: int, divisor: int, *, side: int = 1, stride: int = 1
) -> ConvPlan:
    return ConvPlan(
        name=name,
        channels_in=wide_in,
        channels_out=wide,
        kernel=(1, side, side),
        frames=frames,
        divisor=divisor,
        side_stride=stride,
    )


def _in_time(name: str, wide_in: int, wide: int, frames: int, divisor: int, *, past_frames: int) -> ConvPlan:
    return ConvPlan(
        name=name,
        channels_in=wide_in,
        channels_out=wide,
        kernel=(3, 1, 1),
        frames=frames,
        divisor=divisor,
        past_frames=past_frames,
        frame_stride=3 - past_frames,  # one frame goes before every pair, two before every single frame
    )
