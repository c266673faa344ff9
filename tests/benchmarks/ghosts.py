"""How much of earlier pictures is left in a painted one, and how much of its detail is really there.

Both by least squares on the fine structure (what a blur takes away), where neighbouring places of a picture
have little in common: so a wrong tone is no ghost, and noise is no detail. Legend: T frames, float64 inside.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from limner.pocket.look import Frames

Fine = NDArray[np.float64]
BLUR_SIGMA = 4.0
"""Pixels. What is coarser is not looked at."""
LAGS = (1, 2, 3, 4, 5, 6, 7, 8)
"""Frames back: two chunks."""


def ghost_share(painted: Frames, reference: Frames, source: Frames) -> float:
    """Part of the painted fine structure that belongs to earlier frames. 0: none; below: over-corrected.

    All [T, H, W, 3] uint8, of the same T frames; `reference` is how each frame would be painted if it stood
    alone. What was earlier may be left in as it was painted or as it came in:
    out(t) ≈ a · ref(t) + b · source(t) + Σ g_k · ref(t - k) + Σ h_k · source(t - k); the share is that of the
    g and h in all. ValueError when there are too few frames.
    """
    out_T, ref_T, source_T = _fine(painted), _fine(reference), _fine(source)
    lags = (0, *LAGS)
    rows = (
        (out_T[t], [ref_T[t - k] for k in lags] + [source_T[t - k] for k in lags]) for t in _times(len(out_T))
    )
    ref_weights, source_weights = np.split(_least_squares(rows), 2)
    return float(1 - (ref_weights[0] + source_weights[0]) / (ref_weights.sum() + source_weights.sum()))


def detail_kept(painted: Frames, reference: Frames) -> float:
    """Part of the reference's fine structure that the painted clip has. 1: all of it; noise adds nothing."""
    rows = ((out, [ref]) for out, ref in zip(_fine(painted), _fine(reference), strict=True))
    return float(_least_squares(rows)[0])


def _times(frames: int) -> range:
    if frames <= max(LAGS):
        raise ValueError(f"{frames} frames are too few: at least {max(LAGS) + 1} are needed")
    return range(max(LAGS), frames)


def _fine(clip: Frames) -> Fine:
    """Luma [T, H·W] without what is coarse."""
    luma = [cv2.cvtColor(frame.astype(np.float32), cv2.COLOR_RGB2GRAY) for frame in clip]
    return np.stack([(grey - cv2.GaussianBlur(grey, (0, 0), BLUR_SIGMA)).ravel() for grey in luma]).astype(
        np.float64
    )


def _least_squares(rows: Iterator[tuple[Fine, list[Fine]]]) -> Fine:
    """Weights of the regressors, over all rows together."""
    gram: Fine | float = 0.0
    moments: Fine | float = 0.0
    for out, regressors in rows:
        x = np.stack(regressors)
        gram, moments = gram + x @ x.T, moments + x @ out
    return np.asarray(np.linalg.lstsq(np.asarray(gram), np.asarray(moments), rcond=1e-9)[0])
