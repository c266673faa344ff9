"""What an autoencoder costs for one latent frame: operations, memory traffic, memory. No torch here.

Counted from the plan of its convolutions, for the floor under measured times and for the memory plan.
Bytes are what the tensors hold: libraries' workspaces and an allocator's gaps come on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from limner.engine.wan.vae_config import WanVaeConfig
from limner.engine.wan.vae_plan import (
    FRAMES_PER_LATENT,
    SPATIAL_FACTOR,
    ConvPlan,
    decoder_convs,
    decoder_widths,
    encoder_convs,
    encoder_widths,
)

_PAST = 2  # frames before a causal convolution's own


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitCost:
    """Of one half of an autoencoder, for one latent frame of one stream."""

    flops: int
    """Multiplications and additions of convolutions and attention."""
    moved_bytes: int
    """The least that moves between chip and memory: each convolution's input, weights and output once."""
    past_bytes: int
    """Held between latent frames, exactly."""
    peak_bytes: int
    """Held by activations when they hold most, without graphs or compilation; input and output included."""


def encode_cost(config: WanVaeConfig, height: int, width: int, *, item_bytes: int = 2) -> UnitCost:
    """Pictures of height × width pixels, numbers of `item_bytes` bytes."""
    picture = FRAMES_PER_LATENT * 3 * height * width
    # The frames are there twice: as they came, and laid out for the convolutions.
    peak = 2 * picture + max(_encoder_peaks(config, _area(height, width)))
    return _cost(encoder_convs(config), config, (height, width), item_bytes=item_bytes, peak=peak)


def decode_cost(config: WanVaeConfig, height: int, width: int, *, item_bytes: int = 2) -> UnitCost:
    """Pictures of height × width pixels, numbers of `item_bytes` bytes."""
    peak = max(_decoder_peaks(config, _area(height, width)))
    return _cost(decoder_convs(config), config, (height, width), item_bytes=item_bytes, peak=peak)


def _cost(
    convs: Sequence[ConvPlan], config: WanVaeConfig, size: tuple[int, int], *, item_bytes: int, peak: int
) -> UnitCost:
    height, width = size
    positions = (height // SPATIAL_FACTOR) * (width // SPATIAL_FACTOR)
    attention = 4 * positions**2 * config.base_dim * config.dim_mult[-1]
    return UnitCost(
        flops=attention + sum(conv.flops(height, width) for conv in convs),
        moved_bytes=item_bytes * sum(conv.moved(height, width) for conv in convs),
        past_bytes=item_bytes * sum(conv.past_items(height, width) for conv in convs),
        peak_bytes=item_bytes * peak,
    )


Area = Callable[[int], int]
"""Positions of a frame at a divisor of the side."""


def _area(height: int, width: int) -> Area:
    return lambda divisor: (height // divisor) * (width // divisor)


def _encoder_peaks(config: WanVaeConfig, area: Area) -> Iterator[int]:
    """Numbers held at the worst moment of each block."""
    widths, frames, divisor = encoder_widths(config), FRAMES_PER_LATENT, 1
    for level, wide in enumerate(widths[1:]):
        here = area(divisor)
        yield _residual(config, widths[level], wide, frames, here)
        yield _residual(config, wide, wide, frames, here)
        if level < len(config.temporal_downsample):
            divisor *= 2
            # The frames, the same padded, and what is made of them.
            yield wide * frames * (2 * here + area(divisor))
            if config.temporal_downsample[level]:
                frames //= 2
    # The middle and the head hold less than the last level's blocks do.


def _decoder_peaks(config: WanVaeConfig, area: Area) -> Iterator[int]:
    """Numbers held at the worst moment of each block."""
    widths, frames, divisor = decoder_widths(config), 1, SPATIAL_FACTOR
    doublings = config.temporal_downsample[::-1]
    for level, wide in enumerate(widths[1:]):
        here = area(divisor)
        yield _residual(config, widths[level] // 2 if level else widths[0], wide, frames, here)
        yield _residual(config, wide, wide, frames, here)
        if level < len(doublings):
            held = wide * frames * here
            if doublings[level]:
                frames *= 2
                held += wide * frames * here
            divisor //= 2
            # What came in (and its frames doubled), the same on four times the positions, what is made of it.
            yield held + (wide + wide // 2) * frames * area(divisor)
    yield widths[-1] * (2 * frames + _PAST) * area(divisor) + 3 * frames * area(divisor)


def _residual(config: WanVaeConfig, wide_in: int, wide: int, frames: int, positions: int) -> int:
    """Its input stays to the end; beside it at most a window and what is made of it, or made to it."""
    given, window, made = wide_in * frames, frames + _PAST, wide * frames
    if config.fewer_products and frames > 1:
        # The window, its sums, and their products, of which there are as many as frames in the window; or the
        # window, the products twice, and what is made of them.
        first = window * wide_in + max(window * (wide_in + wide), window * 2 * wide + made)
        second = window * 3 * wide + made
        return (given + max(first, second)) * positions
    return (given + max(wide_in * window + made, wide * window + made)) * positions
