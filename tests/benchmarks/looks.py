"""What a picture looks like in a few numbers, to tell whether it has changed over time. Pure functions."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import cv2
import numpy as np

from limner.pocket.look import Frames


@dataclass(frozen=True, kw_only=True)
class Look:
    """Statistics of a clip; grey levels of 0..255."""

    mean: float
    """Of all values."""
    contrast: float
    """Standard deviation of the luma, inside each frame."""
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
    values = clip_THWC.astype(np.float32)
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in values]).astype(np.float64)
    return Look(
        mean=float(values.mean(dtype=np.float64)),
        contrast=float(np.sqrt(luma.var((1, 2)).mean())),
        saturation=float((values.max(-1) - values.min(-1)).mean(dtype=np.float64)),
        sharpness=gradient(luma),
    )


def gradient(luma_THW: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> float:
    """Root mean square of the differences to the right and lower neighbours."""
    across, down = np.diff(luma_THW, axis=2), np.diff(luma_THW, axis=1)
    return float(np.sqrt(np.mean(across**2) + np.mean(down**2)))


def worst_change(before: Look, now: Look) -> float:
    """Largest relative change of any of the statistics."""
    then_N, now_N = np.array(astuple(before)), np.array(astuple(now))
    return float(np.max(np.abs(now_N - then_N) / np.maximum(np.abs(then_N), 1e-6)))


def psnr_db(a: Frames, b: Frames) -> float:
    """Peak signal to noise ratio of two clips of uint8, dB."""
    square = float(np.mean((a.astype(np.float64) - b) ** 2))
    return float(10 * np.log10(255**2 / square)) if square else float("inf")
