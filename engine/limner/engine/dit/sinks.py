"""Sinks that have nothing in common with the picture any more give way to a newer frame.

Each layer decides for itself, by its own keys and values, as in the system that Wan's streaming weights come
from: so a rank that holds a few layers needs nobody's word, and the next chunk need not wait for the last
layer. All on the device: nobody waits to know which.

Legend: S sinks, W slots of the window, P a mean key and a mean value, M layers, D width of a feature, X
whatever a slot holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def sinks_to_replace(new_PMD: Tensor, sinks_SPMD: Tensor, threshold: float) -> Tensor:
    """[S, M], in each layer true for the sink least like the new frame, if that is less than the threshold.

    Likeness is the cosine, -1..1, averaged over the layer's mean key and mean value.
    """
    likeness_SM = functional.cosine_similarity(sinks_SPMD, new_PMD, dim=-1).mean(1)
    numbers_S1 = torch.arange(len(likeness_SM), device=likeness_SM.device)[:, None]
    return (numbers_S1 == likeness_SM.argmin(0)) & (likeness_SM < threshold)


def slots_to_fill(chosen_SM: Tensor, slot: int) -> Tensor:
    """[M], where each layer puts the frame of a slot: over the sink that it chose, else where it is."""
    return torch.where(chosen_SM.any(0), chosen_SM.to(torch.uint8).argmax(0), slot)


def most_chosen(votes_S: Tensor, layers: int) -> Tensor:
    """[S], true for the sink that the most layers gave up for a frame, if at least half of all did.

    Of the frames themselves there is only one kind, whatever the layers remember.
    """
    numbers_S = torch.arange(len(votes_S), device=votes_S.device)
    return (numbers_S == votes_S.argmax()) & (2 * votes_S >= layers)


@dataclass(frozen=True)
class SinkMove:
    """A frame that took the place of a sink in some layers, or none. It stays in the ring as well."""

    row: int
    slot: int
    """Of the frame."""
    votes_S: Tensor
    """int32: in how many layers it took the place of each sink."""
