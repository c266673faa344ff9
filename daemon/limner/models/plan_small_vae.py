"""Bytes of the small autoencoders: TAEHV, and pocket's. Walks over their layers, as in plan_vae."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from limner.models.plan_vae import FRAMES_PER_LATENT, RGB, Layer

FOLD = 4
TAEHV_MEMORIES = 3


@dataclass(frozen=True, kw_only=True)
class PocketVaeSizes:
    """The sizes of pocket's autoencoder; names and defaults of a `[vae]` table without a kind."""

    latent_channels: int = 48
    fine_width: int = 96
    coarse_width: int = 128
    frame_width: int = 64

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> PocketVaeSizes:
        """Take what matters here of a config's table."""
        return cls(**{name: table[name] for name in cls.__dataclass_fields__ if name in table})


def pocket_vae_layers(vae: PocketVaeSizes) -> Iterator[Layer]:
    """Walk encoder and decoder."""
    latent, fine, coarse, frame = vae.latent_channels, vae.fine_width, vae.coarse_width, vae.frame_width
    folded = RGB * FOLD**2
    yield _conv(FRAMES_PER_LATENT * folded, latent, 2)
    yield _conv(FRAMES_PER_LATENT * folded, fine, 1)
    yield _conv(fine, coarse, 2)
    yield from (_conv(width, width, 3) for width in (fine, fine, coarse, coarse))
    yield _memory(coarse, 2 * FOLD)
    yield _conv(coarse, latent, 1)

    yield _conv(latent, FRAMES_PER_LATENT * folded * 4, 1)
    yield _conv(latent, coarse, 3)
    yield _memory(coarse, 2 * FOLD)
    yield from (_conv(width, width, 3) for width in (coarse,) * 4 + (fine,) * 2 + (frame,) * 2)
    yield _conv(coarse, latent, 1)
    yield _conv(coarse, fine * 4, 1)
    yield _conv(fine, FRAMES_PER_LATENT * frame, 1)
    yield _memory(frame, FOLD)
    yield _conv(frame, folded, 3)


def pocket_vae_buffers(vae: PocketVaeSizes) -> int:
    """Count the numbers that are no parameters: shift and gain of the latents."""
    return 2 * vae.latent_channels


@dataclass(frozen=True, kw_only=True)
class TaehvSizes:
    """The sizes of TAEHV; names and defaults of a `[vae]` table with `kind = "taehv"`."""

    latent_channels: int = 16
    encoder_width: int = 64
    decoder_widths: tuple[int, ...] = (256, 128, 64, 64)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> TaehvSizes:
        """Take what matters here of a config's table."""
        known = {name: table[name] for name in cls.__dataclass_fields__ if name in table}
        if "decoder_widths" in known:
            known["decoder_widths"] = tuple(known["decoder_widths"])
        return cls(**known)


def taehv_layers(vae: TaehvSizes) -> Iterator[Layer]:
    """Walk encoder and decoder; a block of memory sees its input of one frame before."""
    width = vae.encoder_width
    yield _conv(RGB, width, 3)
    for level, pooled in enumerate((2, 2, 1)):
        yield _conv(width * pooled, width, 1, bias=False)
        yield _conv(width, width, 3, bias=False)
        yield from (_block_of_memory(width, 2 ** (level + 1)) for _ in range(TAEHV_MEMORIES))
    yield _conv(width, vae.latent_channels, 3)

    yield _conv(vae.latent_channels, vae.decoder_widths[0], 3)
    for level, (width_in, width_out) in enumerate(pairwise(vae.decoder_widths)):
        yield from (_block_of_memory(width_in, 2 ** (3 - level)) for _ in range(TAEHV_MEMORIES))
        grown = 1 if level == 0 else 2
        yield _conv(width_in, width_in * grown, 1, bias=False)
        yield _conv(width_in, width_out, 3, bias=False)
    yield _conv(vae.decoder_widths[-1], RGB, 3)


def _block_of_memory(width: int, shrink: int) -> Layer:
    weights = 9 * (2 * width * width + 2 * width * width) + 3 * width
    return Layer(parameters=weights, kept_frames=1, channels=width, shrink=shrink)


def _memory(width: int, shrink: int) -> Layer:
    return Layer(parameters=2 * width * width + width, kept_frames=1, channels=width, shrink=shrink)


def _conv(width_in: int, width_out: int, side: int, *, bias: bool = True) -> Layer:
    return Layer(parameters=side**2 * width_in * width_out + (width_out if bias else 0))
