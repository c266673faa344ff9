"""Sinks that have nothing in common with the picture any more give way to a newer frame.

All on the device: nobody waits to know which. Legend: S sinks, W slots of the window, F features of a frame
(the mean key and the mean value of each layer), D width of a feature, X whatever a slot holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional


def sink_to_replace(new_FD: Tensor, sinks_SFD: Tensor, threshold: float) -> Tensor:
    """[S], true for the sink least like the new frame, if it is less like it than the threshold.

    Likeness is the cosine, averaged over the features: -1..1.
    """
    return least_like(likeness(new_FD, sinks_SFD), threshold)


def likeness(new_FD: Tensor, others_SFD: Tensor) -> Tensor:
    """How like a frame others are in each feature, [S, F]: the cosine, -1..1."""
    return functional.cosine_similarity(others_SFD, new_FD, dim=-1)


def least_like(likeness_SF: Tensor, threshold: float) -> Tensor:
    """[S], true for the sink least like the new frame on average, if that is below the threshold."""
    likeness_S = likeness_SF.mean(-1)
    numbers_S = torch.arange(len(likeness_S), device=likeness_S.device)
    return (numbers_S == likeness_S.argmin()) & (likeness_S < threshold)


def sinks_to_replace(likeness_TXF: Tensor, sinks: int, first: int, threshold: float) -> Tensor:
    """[T, S], which sink each frame of a chunk replaces, if any, when all are held against all beforehand.

    X: the sinks, then the T frames themselves, for a frame may replace a sink and be held against the next.
    The frames before `first` are not held against anything. The same as frame by frame.
    """
    frames = len(likeness_TXF)
    chosen_TS = torch.zeros(frames, sinks, dtype=torch.bool, device=likeness_TXF.device)
    holds_S = torch.arange(sinks, device=likeness_TXF.device)
    for frame in range(first, frames):
        chosen_TS[frame] = least_like(likeness_TXF[frame].index_select(0, holds_S), threshold)
        holds_S = torch.where(chosen_TS[frame], sinks + frame, holds_S)
    return chosen_TS


@dataclass(frozen=True)
class SinkMove:
    """A frame that may have taken the place of a sink. It stays in the ring as well, until it is evicted."""

    row: int
    slot: int
    """Of the frame."""
    chosen_S: Tensor
    """True for the sink that it replaces; false for all when it replaces none."""

    @cached_property
    def target_1(self) -> Tensor:
        """[1], the slot of that sink; the frame's own when it replaces none."""
        sink = self.chosen_S.to(torch.uint8).argmax()
        return torch.where(self.chosen_S.any(), sink, self.slot).reshape(1)

    def apply(self, slots_WX: Tensor) -> None:
        """Copy what the frame's slot holds to the sink's, in [..., W, X].

        One frame is read and written, whatever there is to be done: the device alone knows what that is.
        """
        frame_1X = slots_WX[..., self.slot : self.slot + 1, :].clone()
        slots_WX.index_copy_(-2, self.target_1, frame_1X)
