"""How steady a painted clip is: what is left of each frame after the one before, moved along, is taken off.

The optical flow is that of the input, in both directions, so that it is the same for everything painted from
it; where the two directions disagree, something was covered or uncovered, and nothing is measured there.

Sources: warp error, Lai et al. 2018 (Learning Blind Video Temporal Consistency), eq. 9; the occlusion test,
Sundaram et al. 2010 (Dense Point Trajectories), eq. 5. Legend: T frames, H×W pixels, float32 in 0..255.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from limner.pocket.look import Frames

Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]
BORDER = 4
"""Pixels at the picture's edge that are not measured: flow knows nothing of what enters."""
LEAST_SEEN = 0.25
"""Share of the pixels. Where less is seen in both frames there is a cut: real ones leave at most a tenth, and
fast pans at least two fifths."""


@dataclass(frozen=True)
class Step:
    """From one frame of the input to the next: where each pixel comes from, and where that can be told."""

    map_x: Picture
    """[H, W]: column in the frame before."""
    map_y: Picture
    """[H, W]: row in the frame before."""
    valid: Mask
    """[H, W]: seen in both frames. Nowhere when there is a cut between them."""

    def moved(self, before: Picture) -> Picture:
        """The frame before [H, W] or [H, W, C] float32, brought to where its content is now."""
        warped = cv2.remap(before, self.map_x, self.map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.float32)


@dataclass(frozen=True, kw_only=True)
class WarpError:
    """Of a clip, over the valid pixels, in grey levels of 0..255."""

    rms: float
    """Root of the mean square over all steps: the figure of the bar."""
    mean_abs: float
    """Mean absolute error: the same, counting rare large errors less."""
    rms_T: tuple[float, ...]
    """Root mean square of each step; the first is from frame 0 to frame 1."""


def steps_of(source: Frames) -> list[Step]:
    """The T - 1 steps of an input clip [T, H, W, 3] uint8."""
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in source]
    return [_step(before, now) for before, now in itertools.pairwise(grey)]


def warp_error(clip: Frames, steps: Sequence[Step]) -> WarpError:
    """Of a clip [T, H, W, 3] uint8 painted from the input that `steps` come from, or of that input itself.

    ValueError when they do not belong together, or when nothing at all can be measured.
    """
    if len(clip) != len(steps) + 1:
        raise ValueError(f"{len(clip)} frames need {len(clip) - 1} steps, not {len(steps)}")
    if not any(step.valid.any() for step in steps):
        raise ValueError("no pixel is seen in two frames: there is nothing to measure")
    pictures = [frame.astype(np.float32) for frame in clip]
    squares, absolutes, weights = [], [], []
    for before, now, step in zip(pictures, pictures[1:], steps, strict=False):
        left = (now - step.moved(before))[step.valid].astype(np.float64)
        squares.append(float(np.mean(left**2)) if left.size else 0.0)
        absolutes.append(float(np.mean(np.abs(left))) if left.size else 0.0)
        weights.append(left.size)
    return WarpError(
        rms=float(np.average(squares, weights=weights) ** 0.5),
        mean_abs=float(np.average(absolutes, weights=weights)),
        rms_T=tuple(float(square**0.5) for square in squares),
    )


def contrast(clip: Frames) -> float:
    """Standard deviation inside the pictures, channel by channel, so that a cast of colour is no contrast."""
    return float(np.sqrt(np.mean(clip.astype(np.float64).var((1, 2)))))


def _step(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> Step:
    back_HW2, forth_HW2 = _flow(now, before), _flow(before, now)
    height, width = now.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    map_x, map_y = x + back_HW2[..., 0], y + back_HW2[..., 1]
    there = np.asarray(cv2.remap(forth_HW2, map_x, map_y, cv2.INTER_LINEAR))
    gap = np.sum((back_HW2 + there) ** 2, -1)
    agree = gap < 0.01 * (np.sum(back_HW2**2, -1) + np.sum(there**2, -1)) + 0.5
    inside = (map_x >= 0) & (map_x <= width - 1) & (map_y >= 0) & (map_y <= height - 1)
    middle = np.zeros((height, width), bool)
    middle[BORDER:-BORDER, BORDER:-BORDER] = True
    valid = agree & inside & middle
    return Step(map_x, map_y, valid if valid.mean() >= LEAST_SEEN else np.zeros_like(valid))


def _flow(origin: NDArray[np.uint8], target: NDArray[np.uint8]) -> Picture:
    """[H, W, 2]: how far each pixel of `origin` has to go to be in `target`."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(0)  # the preset stops at half the resolution, too coarse for pictures this small
    return np.asarray(method.calc(origin, target, np.zeros((*origin.shape, 2), np.float32)), np.float32)
