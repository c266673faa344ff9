"""Attention of the DiT. Legend: R rows, N tokens, D width, H heads, K width of a head, S text tokens."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.engine.dit.linear import Linear, fused
from limner.engine.fusing import fusable


class History(Protocol):
    """What self-attention looks at besides the tokens at hand: a whole clip, or a rolling cache."""

    def attend(self, layer: int, q_RNHK: Tensor, k_RNHK: Tensor, v_RNHK: Tensor) -> Tensor:
        """Attention of the unrotated queries over the window, as [R, N, H*K]."""
        ...


class Text(Protocol):
    """What cross-attention looks at: one text for all rows, or a text for each."""

    def attend(self, layer: int, q_RNHK: Tensor) -> Tensor:
        """Attention of the queries over the text, as [R, N, H*K]."""
        ...


def attention(q_RNHK: Tensor, k_RMHK: Tensor, v_RMHK: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention, [R, N, H*K].

    `mask`, broadcast to [R, H, N, M]: true where a key may be seen, or float, to add to the scores.
    """
    out_RHNK = functional.scaled_dot_product_attention(
        q_RNHK.transpose(1, 2), k_RMHK.transpose(1, 2), v_RMHK.transpose(1, 2), attn_mask=mask
    )
    return out_RHNK.transpose(1, 2).flatten(2)


class RMSNorm(nn.Module):
    """Root mean square norm over the last dimension, with a weight. In float32 inside."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and type as x."""
        return _rms_norm(x, self.weight.to(x.dtype), self.eps)


@fusable
def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    # Fused for what it is spared: torch's own makes a copy of queries and keys first, which lie side by side.
    return functional.rms_norm(x, weight.shape, weight, eps)


class _Projections(nn.Module):
    """The parameters that self- and cross-attention share, under Wan's names."""

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = Linear(dim, dim)
        self.k = Linear(dim, dim)
        self.v = Linear(dim, dim)
        self.o = Linear(dim, dim)
        self.norm_q = RMSNorm(dim, eps)
        self.norm_k = RMSNorm(dim, eps)

    def split(self, x_RND: Tensor) -> Tensor:
        """[R, N, D] → [R, N, H, K], a view."""
        return x_RND.view(*x_RND.shape[:-1], self.heads, -1)


class SelfAttention(_Projections):
    """Attention of the tokens at hand over their history and themselves."""

    _qkv: tuple[Linear] | None = None
    """Queries, keys and values by one product. (In a tuple: it is no part of its own of the weights.)"""

    def forward(self, x_RND: Tensor, layer: int, history: History) -> Tensor:
        """[R, N, D] → [R, N, D]."""
        q_RND, k_RND, v_RND = self._project(x_RND)
        q, k, v = self.split(self.norm_q(q_RND)), self.split(self.norm_k(k_RND)), self.split(v_RND)
        out: Tensor = self.o(history.attend(layer, q, k, v))
        return out

    def fuse(self) -> None:
        """One product for queries, keys and values instead of three; for final weights on their device."""
        if self._qkv is None:
            self._qkv = (fused((self.q, self.k, self.v)),)

    def pack(self) -> None:
        """Faster products, where that works; for inference."""
        self.fuse()
        assert self._qkv is not None
        self._qkv[0].pack()
        if self._qkv[0].is_packed:
            for part in (self.q, self.k, self.v):  # Views of what was packed, which is still there for them.
                part.let_go()
        self.o.pack()

    def _project(self, x_RND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self._qkv is None:
            return self.q(x_RND), self.k(x_RND), self.v(x_RND)
        q_RND, k_RND, v_RND = self._qkv[0](x_RND).chunk(3, dim=-1)
        with_extra = (self.q.with_extra(q_RND, x_RND), self.k.with_extra(k_RND, x_RND))
        return *with_extra, self.v.with_extra(v_RND, x_RND)


class CrossAttention(_Projections):
    """Attention over the text, whose keys and values are made once per prompt."""

    def pack(self) -> None:
        """Faster products, where that works; for inference."""
        self.q.pack()
        self.o.pack()

    def keys_values(self, text_RSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the embedded text, [R, S, H, K] each."""
        return self.split(self.norm_k(self.k(text_RSD))), self.split(self.v(text_RSD))

    def forward(self, x_RND: Tensor, layer: int, text: Text) -> Tensor:
        """[R, N, D] → [R, N, D]."""
        q = self.split(self.norm_q(self.q(x_RND)))
        out: Tensor = self.o(text.attend(layer, q))
        return out
