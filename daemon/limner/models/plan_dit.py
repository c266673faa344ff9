"""Bytes of a DiT: its weights, and what a stream keeps on the device. Pure arithmetic, no torch.

The engine allocates; this page predicts. Tests hold both equal, to the byte, so nothing here is a guess but
what is named one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

Weights = Literal["bf16", "fp8", "int8"]
"""How the large weights of the blocks are kept. fp8 and int8 have a scale a row."""

FLOAT_BYTES, SCALE_BYTES, INDEX_BYTES = 4, 4, 8
SPATIAL_FACTOR = 8
FRAMES_PER_LATENT = 4


@dataclass(frozen=True, kw_only=True)
class DitSizes:
    """The sizes of a DiT that its bytes depend on; names and defaults of the `[dit]` table of a config."""

    latent_channels: int
    dim: int
    ffn_dim: int
    heads: int
    layers: int
    text_dim: int
    freq_dim: int = 256
    patch: int = 2
    window_frames: int = 6
    sink_frames: int = 3
    wide_residual: bool = False

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> DitSizes:
        """Take what matters here of a config's table; TypeError where the engine would miss a key as well."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in table.items() if name in known})

    def tokens(self, width: int, height: int) -> int:
        """Tokens of a latent frame of a picture of this size, pixels."""
        side = SPATIAL_FACTOR * self.patch
        return (width // side) * (height // side)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How many numbers the weights are."""

    large: int
    """In the weights of the blocks' products, which can be quantised."""
    large_rows: int
    """Rows of those: each has a scale when quantised."""
    other: int

    @property
    def total(self) -> int:
        """All."""
        return self.large + self.other


def dit_parameters(dit: DitSizes) -> Parameters:
    """Count the parameters of a DiT."""
    dim, layers, patch = dit.dim, dit.layers, dit.patch**2 * dit.latent_channels
    attention = 4 * dim * dim
    large = layers * (2 * attention + 2 * dim * dit.ffn_dim)
    rows = layers * (2 * 4 * dim + dit.ffn_dim + dim)
    norms_of_block = 2 * 2 * dim + 2 * dim  # Queries and keys of both attentions; before the text, affine.
    modulation = 6 * dim
    block_others = layers * (norms_of_block + modulation) + rows  # A bias a row.
    embeddings = (
        _linear(patch, dim)
        + _linear(dit.text_dim, dim)
        + _linear(dit.freq_dim, dim)
        + 2 * _linear(dim, dim)
        + _linear(dim, 6 * dim)
    )
    return Parameters(large=large, large_rows=rows, other=block_others + embeddings + head_parameters(dit))


def head_parameters(dit: DitSizes) -> int:
    """Count the parameters of what comes after the blocks."""
    return _linear(dit.dim, dit.patch**2 * dit.latent_channels) + 2 * dit.dim


def dit_weight_bytes(dit: DitSizes, weights: Weights, number_bytes: int = 2) -> int:
    """Bytes of the weights; `number_bytes`: of a number that is not quantised."""
    count = dit_parameters(dit)
    if weights == "bf16":
        return number_bytes * count.total
    return count.large + SCALE_BYTES * count.large_rows + number_bytes * count.other


def cache_bytes(dit: DitSizes, *, rows: int, width: int, height: int, number_bytes: int = 2) -> int:
    """Bytes of the keys and values of a stream's window, with `rows` denoising steps."""
    tokens = dit.window_frames * dit.tokens(width, height)
    return 2 * dit.layers * rows * tokens * dit.dim * number_bytes


def window_bytes(dit: DitSizes, *, rows: int, width: int, height: int) -> int:
    """Bytes of what a window's frames went in as: float32 latents, and the noise level of each."""
    latent = dit.latent_channels * (width // SPATIAL_FACTOR) * (height // SPATIAL_FACTOR)
    return rows * dit.window_frames * (latent + 1) * FLOAT_BYTES


def view_bytes(dit: DitSizes, *, rows: int, width: int, height: int) -> int:
    """Bytes of the buffers through which forwards look at a window: rotary turns, slots and mask.

    Turns are two numbers a pair: of all places, of each row's slots, and of the longest chunk of each row.
    """
    tokens, pairs = dit.tokens(width, height), dit.dim // dit.heads // 2
    ring = dit.window_frames - dit.sink_frames
    turned_frames = dit.window_frames + rows * (dit.window_frames + ring)
    turns = turned_frames * tokens * pairs * 2 * FLOAT_BYTES
    return turns + rows * ring * INDEX_BYTES + rows * dit.window_frames * tokens


def text_bytes(dit: DitSizes, *, text_tokens: int, number_bytes: int = 2) -> int:
    """Bytes of one prompt on the device: keys and values of each layer, and the embedding they come from."""
    keys_values = 2 * dit.layers * text_tokens * dit.dim
    return (keys_values + text_tokens * dit.text_dim) * number_bytes


def _linear(dim_in: int, dim_out: int) -> int:
    return dim_in * dim_out + dim_out
