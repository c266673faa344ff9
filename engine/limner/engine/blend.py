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

    def bias(self) -> Tensor:
        """[..., L] to add to attention scores: the logarithm of the weight, minus infinity for none."""
        return self.weight_L.log()

    def tokens(self) -> tuple[Tensor, Tensor | None]:
        """Of one text: the tokens that count at all [S, E] and their bias [S], None when all count fully.

        Padding is left out here, once, instead of being masked in every layer of every forward.
        """
        counts_L = self.weight_L > 0
        all_fully = bool((self.weight_L[counts_L] == 1).all())
        return self.embedding_LE[counts_L], None if all_fully else self.bias()[counts_L]


def slerp(a: Tensor, b: Tensor, share: Tensor | float) -> Tensor:
    """Spherical interpolation of vectors [..., E]: direction along the arc, length in proportion.

    `share` 0 gives a, 1 gives b. Vectors of (nearly) one direction are interpolated along the straight line.
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
    return direction * torch.lerp(length_a, length_b, torch.as_tensor(share).to(a))


def faded(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Weights in 0..1 between two, in steps of one ratio down to about e^-FADE of all, and 0 below that."""
    span = math.expm1(FADE)
    loudness = torch.lerp((a * span).log1p(), (b * span).log1p(), share)
    return torch.where(a == b, a, loudness.expm1() / span)


def between(a: SoftText, b: SoftText, share: float) -> SoftText:
    """The text at `share` 0..1 of the way from a to b.

    A token that both have goes along the arc; one that only one of them has comes or goes by its weight.
    """
    only_a, only_b = (a.weight_L > 0) & (b.weight_L == 0), (b.weight_L > 0) & (a.weight_L == 0)
    middle = slerp(a.embedding_LE, b.embedding_LE, share)
    embedding = torch.where(only_b[..., None], b.embedding_LE, middle)
    embedding = torch.where(only_a[..., None], a.embedding_LE, embedding)
    weight = faded(a.weight_L, b.weight_L, share)
    return SoftText(embedding_LE=torch.where(weight[..., None] > 0, embedding, 0.0), weight_L=weight)


def mixed(texts: Sequence[SoftText], weights: Sequence[float]) -> SoftText:
    """Several texts at once, in proportion to their weights; for two, `between` at the second one's share.

    Folded in one by one, each at its part of the weights so far.
    """
    total, result = weights[0], texts[0]
    for text, weight in zip(texts[1:], weights[1:], strict=True):
        total += weight
        result = between(result, text, weight / total)
    return result
