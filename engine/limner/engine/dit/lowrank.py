"""What LoRAs add to a linear layer: the product of two slim matrices, beside a weight that nobody touches.

So a LoRA comes and goes without the weight being loaded anew, with weights of any type, and the layer without
it is exactly what it was. Several LoRAs are one: their matrices side by side, their weights folded in.

Legend: K width in, N width out, R rank.
"""

from __future__ import annotations

import torch
from torch import Tensor


class LowRank:
    """(x Aᵀ) Bᵀ, in buffers of a fixed rank that stay in place: a CUDA graph goes on with new values."""

    def __init__(
        self, dim_in: int, dim_out: int, rank: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Adds nothing until it is filled."""
        self._a_RK = torch.zeros(rank, dim_in, dtype=dtype, device=device)
        self._b_NR = torch.zeros(dim_out, rank, dtype=dtype, device=device)

    @property
    def rank(self) -> int:
        """The most that fits, rows of A."""
        return len(self._a_RK)

    def fill(self, a_RK: Tensor, b_NR: Tensor) -> None:
        """Take these values; of no more than its rank."""
        rank = len(a_RK)
        assert rank <= self.rank, f"rank {rank} in a place for {self.rank}"
        self._a_RK[:rank].copy_(a_RK, non_blocking=True)
        self._a_RK[rank:].zero_()
        self._b_NR[:, :rank].copy_(b_NR, non_blocking=True)
        self._b_NR[:, rank:].zero_()

    def clear(self) -> None:
        """Add nothing."""
        self._b_NR.zero_()

    def added_to(self, out: Tensor, x: Tensor) -> Tensor:
        """out [..., N] and what x [..., K] gives."""
        inner_MR = x.flatten(0, -2) @ self._a_RK.t()
        return torch.addmm(out.flatten(0, -2), inner_MR, self._b_NR.t()).view(out.shape)
