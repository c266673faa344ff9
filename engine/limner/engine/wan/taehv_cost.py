"""What TAEHV costs for one latent frame; see `vae_cost`, whose words these are. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from limner.engine.wan.taehv_config import TaehvConfig
from limner.engine.wan.vae_cost import UnitCost
from limner.engine.wan.vae_plan import FRAMES_PER_LATENT, SPATIAL_FACTOR, ConvPlan

_MEMORIES = 3


def encode_cost(config: TaehvConfig, height: int, width: int, *, item_bytes: int = 2) -> UnitCost:
    """Pictures of height × width pixels, numbers of `item_bytes` bytes."""
    full = FRAMES_PER_LATENT * height * width
    # The frames twice; the first layer's, the same with pairs of frames joined, what is made of the pairs.
    peak = 6 * full + config.encoder_width * full * 5 // 2
    widths = [(config.encoder_width, divisor) for divisor in (2, 4, 8)]
    return _cost(_encoder(config), widths, (height, width), item_bytes=item_bytes, peak=peak)


def decode_cost(config: TaehvConfig, height: int, width: int, *, item_bytes: int = 2) -> UnitCost:
    """Pictures of height × width pixels, numbers of `item_bytes` bytes."""
    full = FRAMES_PER_LATENT * height * width
    # What goes into the last layer but one, of full size, and what it makes.
    peak = (config.decoder_widths[2] + config.decoder_widths[3]) * full
    widths = list(zip(config.decoder_widths, (8, 4, 2), strict=False))
    return _cost(_decoder(config), widths, (height, width), item_bytes=item_bytes, peak=peak)


def _cost(
    convs: Iterator[ConvPlan],
    memories: Sequence[tuple[int, int]],
    size: tuple[int, int],
    *,
    item_bytes: int,
    peak: int,
) -> UnitCost:
    """`memories`: channels and divisor of each level's."""
    height, width = size
    kept = sum(_MEMORIES * wide * (height // d) * (width // d) for wide, d in memories)
    planned = list(convs)
    return UnitCost(
        flops=sum(conv.flops(height, width) for conv in planned),
        moved_bytes=item_bytes * sum(conv.moved(height, width) for conv in planned),
        past_bytes=item_bytes * kept,
        peak_bytes=item_bytes * peak,
    )


def _encoder(config: TaehvConfig) -> Iterator[ConvPlan]:
    wide, frames, divisor = config.encoder_width, FRAMES_PER_LATENT, 1
    yield _conv("encoder.0", 3, wide, frames, divisor)
    for level, pooled in enumerate((2, 2, 1)):
        at, frames = 2 + 5 * level, frames // pooled
        yield _conv(f"encoder.{at}.conv", pooled * wide, wide, frames, divisor, side=1)
        divisor *= 2
        yield _conv(f"encoder.{at + 1}", wide, wide, frames, divisor, stride=2)
        yield from _memories("encoder.{}.conv.{}", at + 2, wide, frames, divisor)
    yield _conv("encoder.17", wide, config.latent_channels, frames, divisor)


def _decoder(config: TaehvConfig) -> Iterator[ConvPlan]:
    widths, frames, divisor = config.decoder_widths, 1, SPATIAL_FACTOR
    yield _conv("decoder.1", config.latent_channels, widths[0], frames, divisor)
    for level, grown in enumerate((1, 2, 2)):
        at, wide = 3 + 6 * level, widths[level]
        yield from _memories("decoder.{}.conv.{}", at, wide, frames, divisor)
        yield _conv(f"decoder.{at + 4}.conv", wide, grown * wide, frames, divisor, side=1)
        frames, divisor = grown * frames, divisor // 2
        yield _conv(f"decoder.{at + 5}", wide, widths[level + 1], frames, divisor)
    yield _conv("decoder.22", widths[-1], 3, frames, divisor)


def _memories(name: str, first: int, wide: int, frames: int, divisor: int) -> Iterator[ConvPlan]:
    for block in range(first, first + _MEMORIES):
        for layer, wide_in in ((0, 2 * wide), (2, wide), (4, wide)):
            yield _conv(name.format(block, layer), wide_in, wide, frames, divisor)


def _conv(
    name: str, wide_in: int, wide: int, frames: int, divisor: int, *, side: int = 3, stride: int = 1
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
