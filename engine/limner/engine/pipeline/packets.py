"""What goes over the lines, and where in its bytes. Both ends know it from the command; there are no headers.

Legend: R rows (one), T latent frames of a chunk, N tokens, D width, C latent channels, H×W latent pixels,
S sinks or text tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.model import Flow
from limner.engine.pipeline.commands import MaskKind
from limner.engine.vae import FRAMES_PER_LATENT, SPATIAL_FACTOR

_ALIGNED = 64
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Tensors side by side in one buffer, each where its type may stand."""

    parts: tuple[tuple[Shape, torch.dtype], ...]

    @property
    def size_bytes(self) -> int:
        """Of the buffer."""
        return sum(_padded(_bytes(*part)) for part in self.parts)

    def views(self, buffer_B: Tensor) -> list[Tensor]:
        """The tensors, in a uint8 buffer of this size."""
        views, start = [], 0
        for shape, dtype in self.parts:
            size = _bytes(shape, dtype)
            views.append(buffer_B[start : start + size].view(dtype).view(shape))
            start += _padded(size)
        return views


@dataclass(frozen=True)
class FlowPacket:
    """A forward between two ranks."""

    flow: Flow
    votes_TS: Tensor | None
    """Of the blocks so far, see `StageCache.votes`."""

    @staticmethod
    def layout(config: DiTConfig, dtype: torch.dtype, *, frames: int, tokens: int, votes: bool) -> Layout:
        """`tokens`: of a latent frame."""
        dim = config.dim
        flow = ((1, frames * tokens, dim), (1, frames, 6, dim), (1, frames, dim))
        extra = [_votes(config, frames)] if votes else []
        return Layout((*((shape, dtype) for shape in flow), *extra))

    @classmethod
    def over(cls, layout: Layout, buffer_B: Tensor) -> FlowPacket:
        """The packet in a buffer."""
        x, time6, time, *votes = layout.views(buffer_B)
        return cls(Flow(x, time6, time), votes[0] if votes else None)


@dataclass(frozen=True)
class VelocityPacket:
    """What the last rank sends to the first."""

    velocity_RTCHW: Tensor
    votes_TS: Tensor | None
    """Of all blocks."""

    @staticmethod
    def layout(
        config: DiTConfig, dtype: torch.dtype, *, frames: int, grid: tuple[int, int], votes: bool
    ) -> Layout:
        """`grid`: tokens down and across."""
        height, width = grid[0] * config.patch, grid[1] * config.patch
        extra = [_votes(config, frames)] if votes else []
        return Layout((((1, frames, config.latent_channels, height, width), dtype), *extra))

    @classmethod
    def over(cls, layout: Layout, buffer_B: Tensor) -> VelocityPacket:
        """The packet in a buffer."""
        velocity, *votes = layout.views(buffer_B)
        return cls(velocity, votes[0] if votes else None)


def text_layout(config: DiTConfig, dtype: torch.dtype, tokens: int, mask: MaskKind) -> Layout:
    """An embedded text [1, S, D] and its mask [1, 1, 1, S]."""
    kinds = {"none": (), "bool": (torch.bool,), "float": (dtype,)}
    return Layout((((1, tokens, config.dim), dtype), *(((1, 1, 1, tokens), kind) for kind in kinds[mask])))


def mask_kind(mask: Tensor | None) -> MaskKind:
    """What kind of mask a text has."""
    if mask is None:
        return "none"
    return "bool" if mask.dtype == torch.bool else "float"


def moving_layout(shapes: Sequence[torch.Size], dtype: torch.dtype, blocks: int) -> Layout:
    """What streams remember in so many blocks: keys and values of each stream (`shapes`), block by block."""
    return Layout(tuple((tuple(shape), dtype) for _ in range(blocks) for shape in shapes for _ in range(2)))


def latents_layout(channels: int, dtype: torch.dtype, *, frames: int, size: tuple[int, int]) -> Layout:
    """Clean latents [T, C, H, W] on their way to the decoder, in the type that it computes in."""
    return Layout((((frames, channels, *size), dtype),))


def frames_layout(frames: int, size: tuple[int, int]) -> Layout:
    """Pictures, uint8 [4T, 3, 8H, 8W], of so many latent frames."""
    height, width = (side * SPATIAL_FACTOR for side in size)
    return Layout((((frames * FRAMES_PER_LATENT, 3, height, width), torch.uint8),))


def _votes(config: DiTConfig, frames: int) -> tuple[Shape, torch.dtype]:
    return (frames, config.sink_frames), torch.int32


def _bytes(shape: Shape, dtype: torch.dtype) -> int:
    return torch.Size(shape).numel() * dtype.itemsize


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
