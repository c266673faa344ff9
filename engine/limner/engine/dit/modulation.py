"""The small operations between the products of a block: norms, modulation by the noise level, the sum.

Where the sum that goes through the blocks is wider than the products (`wide_residual`), they take it as it is
and give what a product takes. Each is one kernel where a compiler makes one of it.

Legend: R rows, T latent frames, N tokens of all of them, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from limner.engine.fusing import fusable

TIMESTEPS = 1000.0
"""The model is told the timestep: 1000 times sigma."""


def time_frequencies(sigma: Tensor, freq_dim: int, dtype: torch.dtype) -> Tensor:
    """Sinusoidal embedding [..., freq_dim] of the timestep 1000 * sigma: cosines, then sines."""
    half = freq_dim // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float32, device=sigma.device) / half)
    angle = sigma.float().unsqueeze(-1) * TIMESTEPS * frequencies
    return torch.cat([angle.cos(), angle.sin()], dim=-1).to(dtype)


@fusable
def modulated(
    x_RND: Tensor, frames: int, shift: Tensor, scale: Tensor, eps: float, *, dtype: torch.dtype
) -> Tensor:
    """Norm without weights, then scale and shift [R, T, 1, D] per latent frame; in `dtype`."""
    shape = x_RND.shape[-1:]
    if len(x_RND) == 1 and frames == 1:  # One scale and shift for all tokens: those of the norm, in one pass.
        return functional.layer_norm(x_RND, shape, 1 + scale.flatten(), shift.flatten(), eps).to(dtype)
    normed = functional.layer_norm(x_RND, shape, eps=eps)
    if frames == 1:
        return torch.addcmul(shift[:, 0], normed, 1 + scale[:, 0]).to(dtype)
    return torch.addcmul(shift, _by_frame(normed, frames), 1 + scale).flatten(1, 2).to(dtype)


@fusable
def normed(x_RND: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Norm with weights, in their type."""
    if x_RND.dtype == weight.dtype:
        return functional.layer_norm(x_RND, weight.shape, weight, bias, eps)
    normed = functional.layer_norm(x_RND, weight.shape, eps=eps)
    return torch.addcmul(bias, normed, weight).to(weight.dtype)


@fusable
def gated(x_RND: Tensor, y_RND: Tensor, frames: int, gate: Tensor) -> Tensor:
    """x + gate * y, the gate [R, T, 1, D] per latent frame; in x's type."""
    if frames == 1:
        return torch.addcmul(x_RND, y_RND, gate[:, 0])
    return torch.addcmul(_by_frame(x_RND, frames), _by_frame(y_RND, frames), gate).flatten(1, 2)


def _by_frame(x_RND: Tensor, frames: int) -> Tensor:
    return x_RND.view(x_RND.shape[0], frames, -1, x_RND.shape[-1])
