"""Rotary positions over (t, h, w), as Wan 2.1 has them.

Legend: F latent frames, L tokens of a latent frame, P rotary pairs of a head (head_dim / 2).
Pairs are neighbours (2i, 2i+1) of a head, split over the axes by `axis_pairs`. A turn is (cosine, sine) of an
angle that was worked out in float64. Turning happens in float32, whatever the type of x.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limner.engine.fusing import fusable


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
    """Turns of every token of `frames` latent frames on a grid: [F, L, P, 2], float32."""
    pairs_t, pairs_h, pairs_w = axis_pairs(head_dim)
    shape = (frames, rows, columns)
    t = angles(torch.arange(frames), pairs_t, theta)[:, None, None, :].expand(*shape, -1)
    h = angles(torch.arange(rows), pairs_h, theta)[None, :, None, :].expand(*shape, -1)
    w = angles(torch.arange(columns), pairs_w, theta)[None, None, :, :].expand(*shape, -1)
    angle = torch.cat([t, h, w], dim=-1).reshape(frames, rows * columns, -1)
    return torch.stack([angle.cos(), angle.sin()], dim=-1).to(device, torch.float32)


@fusable
def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs of x [..., N, heads, 2P] by turns [..., N, P, 2]; keeps x's type."""
    pairs = x.float().reshape(*x.shape[:-1], turns.shape[-2], 2)
    turns = turns.unsqueeze(-3)
    # One complex product is one pass over memory, where the real form takes six. But a compiler can make no
    # code for complex numbers, and makes one pass of the real form.
    turn = _turned_by_parts if torch.compiler.is_compiling() else _turned
    return turn(pairs, turns).flatten(-2).to(x.dtype)


def _turned(pairs: Tensor, turns: Tensor) -> Tensor:
    """[..., P, 2] pairs by turns, as complex numbers."""
    return torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(turns))


def _turned_by_parts(pairs: Tensor, turns: Tensor) -> Tensor:
    """The same, as real numbers."""
    (a, b), (cosine, sine) = pairs.unbind(-1), turns.unbind(-1)
    return torch.stack([a * cosine - b * sine, a * sine + b * cosine], dim=-1)
