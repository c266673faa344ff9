"""Rotary positions over (t, h, w), as Wan 2.1 has them.

Legend: F latent frames, L tokens of a latent frame, P rotary pairs of a head (head_dim / 2).
Pairs are neighbours (2i, 2i+1) of a head, split over the axes by `axis_pairs`. A turn is a complex number of
length 1; turning in complex64 is one pass over memory, and exact enough for any type of weights.
"""

from __future__ import annotations

import torch
from torch import Tensor


def axis_pairs(head_dim: int) -> tuple[int, int, int]:
    """Rotary pairs for (t, h, w): a third each, what is left goes to t. 128 → (22, 21, 21)."""
    pairs = head_dim // 2
    third = pairs // 3
    return pairs - 2 * third, third, third


def angles(positions: Tensor, pairs: int, theta: float) -> Tensor:
    """[N] positions → [N, pairs] angles in radians, float64: position * theta^(-i / pairs)."""
    frequencies = theta ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    return positions.to(torch.float64)[:, None] * frequencies


def frame_turns(
    *, frames: int, rows: int, columns: int, head_dim: int, theta: float, device: torch.device | str = "cpu"
) -> Tensor:
    """Turns of every token of `frames` latent frames on a grid: [F, L, P], complex64."""
    pairs_t, pairs_h, pairs_w = axis_pairs(head_dim)
    shape = (frames, rows, columns)
    t = angles(torch.arange(frames), pairs_t, theta)[:, None, None, :].expand(*shape, -1)
    h = angles(torch.arange(rows), pairs_h, theta)[None, :, None, :].expand(*shape, -1)
    w = angles(torch.arange(columns), pairs_w, theta)[None, None, :, :].expand(*shape, -1)
    angle = torch.cat([t, h, w], dim=-1).reshape(frames, rows * columns, -1)
    return torch.polar(torch.ones_like(angle), angle).to(device, torch.complex64)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs of x [..., N, heads, 2P] by [..., N, P] turns; keeps x's type."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], turns.shape[-1], 2))
    return torch.view_as_real(pairs * turns.unsqueeze(-2)).flatten(-2).to(x.dtype)
