"""What a picture looks like in a few numbers, to tell whether it has changed over time. Pure functions."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import cv2
import numpy as np

from limner.pocket.look import Frames


@dataclass(frozen=True)
class Look:
    """Statistics, grey levels of 0..255; of a clip, the mean over its frames."""

    mean: float
    """Of all values."""
    contrast: float
    """Standard deviation of the luma."""
    saturation: float
    """Mean of the largest less the smallest of R, G and B."""
    sharpness: float
    """Root mean square gradient of the luma, a pixel."""

    def __str__(self) -> str:
        return (
            f"mean {self.mean:.1f}, contrast {self.contrast:.1f},"
            f" saturation {self.saturation:.1f}, sharpness {self.sharpness:.2f}"
        )


def look_of(clip_THWC: Frames) -> Look:
    """Of a clip [T, H, W, 3] uint8 RGB, computed in float."""
    # Frame by frame: whoever watches memory must not see ours.
    return Look(*np.mean([astuple(_look_of_frame(frame)) for frame in clip_THWC], axis=0).tolist())


def _look_of_frame(frame_HWC: Frames) -> Look:
    values = frame_HWC.astype(np.float32)
    luma = np.asarray(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY))
    across, down = np.diff(luma, axis=1), np.diff(luma, axis=0)
    return Look(
        mean=float(values.mean(dtype=np.float64)),
        contrast=float(luma.std(dtype=np.float64)),
        saturation=float((values.max(-1) - values.min(-1)).mean(dtype=np.float64)),
        sharpness=float(np.sqrt(np.mean(across**2) + np.mean(down**2))),
    )


def worst_change(before: Look, now: Look) -> float:
    """Largest relative change of any of the statistics."""
    then_N, now_N = np.array(astuple(before)), np.array(astuple(now))
    return float(np.max(np.abs(now_N - then_N) / np.maximum(np.abs(then_N), 1e-6)))


def psnr_db(a: Frames, b: Frames) -> float:
    """Peak signal to noise ratio of two clips of uint8, dB."""
    pairs = zip(a, b, strict=True)
    square = float(np.mean([np.mean((x.astype(np.float32) - y) ** 2, dtype=np.float64) for x, y in pairs]))
    return float(10 * np.log10(255**2 / square)) if square else float("inf")
