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
    likeness_S = functional.cosine_similarity(sinks_SFD, new_FD, dim=-1).mean(-1)
    numbers_S = torch.arange(len(sinks_SFD), device=sinks_SFD.device)
    return (numbers_S == likeness_S.argmin()) & (likeness_S < threshold)


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
