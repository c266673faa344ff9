"""Between prompts: text embeddings mixed and interpolated, as pure functions.

Legend: ... any leading dimensions, L text tokens (padded), E width of a token. A token's weight is 1 where it
counts fully, 0 where it is padding, and between while it comes or goes; attention adds its logarithm to the
scores, so that a token of weight 0 is not there at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST = 1e-6
FADE = math.log(1000)
"""A token comes from about a thousandth of its weight to all of it in steps of one ratio, not of one size: it
may matter ten or a hundred times more than the others, and be all there with the first of even steps."""


@dataclass(frozen=True, kw_only=True)
class SoftText:
    """A prompt, or something between prompts."""

    embedding_LE: Tensor
    """[..., L, E]; zeros where the weight is 0."""
    weight_L: Tensor
    """[..., L], 0..1."""
    zeros: int = 0
    """So many tokens of nothing but zeros follow, each of full weight: Wan attends to its padding. Not kept,
    since they are most of a Wan text: 512 tokens of 4096 numbers."""

    @classmethod
    def blank(cls, dim: int, zeros: int) -> SoftText:
        """Zeros alone: no prompt gives this; it stands in where there is no text."""
        # Texts live on the CPU, also of a model that is being built on the meta device.
        cpu = torch.device("cpu")
        embedding_LE, weight_L = torch.zeros(0, dim, device=cpu), torch.zeros(0, device=cpu)
        return cls(embedding_LE=embedding_LE, weight_L=weight_L, zeros=zeros)

    @property
    def length(self) -> int:
        """Tokens in all."""
        return self.embedding_LE.shape[-2] + self.zeros

    def bias(self) -> Tensor:
        """[..., L] to add to attention scores: the logarithm of the weight, minus infinity for none."""
        return self.weight_L.log()

    def tokens(self) -> tuple[Tensor, Tensor | None]:
        """Of one text: the tokens that count at all [S, E] and their bias [S], None when all count fully.

        Padding is left out here, once, instead of being masked in every layer of every forward. The `zeros`
        that follow are left to whoever takes the tokens to a device, to be made there.
        """
        counts_L = self.weight_L > 0
        all_fully = bool((self.weight_L[counts_L] == 1).all())
        return self.embedding_LE[counts_L], None if all_fully else self.bias()[counts_L]


def slerp(a: Tensor, b: Tensor, share: Tensor | float) -> Tensor:
    """Spherical interpolation of vectors [..., E]: direction along the arc, length in proportion.

    `share` 0 gives a, 1 gives b. Vectors of (nearly) one direction are interpolated along the straight line,
    and so is what comes from zero or goes there: zero has no direction.
    """
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / length_a.clamp(min=SMALLEST), b / length_b.clamp(min=SMALLEST)
    angle = (unit_a * unit_b).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    straight = sine < 1e-3
    sine = torch.where(straight, 1.0, sine)
    share_a = torch.where(straight, 1 - share, ((1 - share) * angle).sin() / sine)
    share_b = torch.where(straight, torch.as_tensor(share).to(a), (share * angle).sin() / sine)
    direction: Tensor = share_a * unit_a + share_b * unit_b
    middle = direction * torch.lerp(length_a, length_b, torch.as_tensor(share).to(a))
    from_zero = (length_a < SMALLEST) | (length_b < SMALLEST)
    return torch.where(from_zero, torch.lerp(a, b, torch.as_tensor(share).to(a)), middle)


def faded(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Weights in 0..1 between two, in steps of one ratio down to about e^-FADE of all, and 0 below that."""
    span = math.expm1(FADE)
    loudness = torch.lerp((a * span).log1p(), (b * span).log1p(), share)
    return torch.where(a == b, a, loudness.expm1() / span)


def between(a: SoftText, b: SoftText, share: float) -> SoftText:
    """The text at `share` 0..1 of the way from a to b.

    A token that both have goes along the arc; one that only one of them has comes or goes by its weight.
    Where one has a token and the other one of its `zeros`, it comes or goes by its length.
    """
    kept = max(a.embedding_LE.shape[-2], b.embedding_LE.shape[-2])
    a, b = _keeping(a, kept), _keeping(b, kept)
    only_a, only_b = (a.weight_L > 0) & (b.weight_L == 0), (b.weight_L > 0) & (a.weight_L == 0)
    middle = slerp(a.embedding_LE, b.embedding_LE, share)
    embedding = torch.where(only_b[..., None], b.embedding_LE, middle)
    embedding = torch.where(only_a[..., None], a.embedding_LE, embedding)
    weight = faded(a.weight_L, b.weight_L, share)
    embedding = torch.where(weight[..., None] > 0, embedding, 0.0)
    return SoftText(embedding_LE=embedding, weight_L=weight, zeros=a.zeros)


def mixed(texts: Sequence[SoftText], weights: Sequence[float]) -> SoftText:
    """Several texts at once, in proportion to their weights; for two, `between` at the second one's share.

    Folded in one by one, each at its part of the weights so far.
    """
    total, result = weights[0], texts[0]
    for text, weight in zip(texts[1:], weights[1:], strict=True):
        total += weight
        result = between(result, text, weight / total)
    return result


def _keeping(text: SoftText, kept: int) -> SoftText:
    """The same text with so many of its tokens kept, at the cost of the `zeros`."""
    more = kept - text.embedding_LE.shape[-2]
    if not more:
        return text
    return SoftText(
        embedding_LE=functional.pad(text.embedding_LE, (0, 0, 0, more)),
        weight_L=functional.pad(text.weight_L, (0, more), value=1.0),
        zeros=text.zeros - more,
    )
