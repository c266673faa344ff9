"""How much noise: the motion-aware controller.

Reference: fast motion → less noise, slow → more. m is the largest RMS difference of neighbouring frames in
the chunk, in units of [-1, 1] pixels, over 0.2 and clipped to 1; s = 0.9 * (s0 - 0.1 * m) + 0.1 * s_previous
at s0 = 0.8. Here the 0.1 is relative to the strength that the person chose, so that it means the same all
along the slider.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limner.engine.noise import NoiseConfig


def motion_of(frames_TCHW: Tensor, full: float) -> Tensor:
    """Motion in 0..1 of neighbouring uint8 frames, a 0-d tensor; 0 for a single frame."""
    if len(frames_TCHW) < 2:
        return torch.zeros((), device=frames_TCHW.device)
    # bfloat16 is exact here: it holds whole numbers up to 256, and the differences are such numbers too.
    pixels = frames_TCHW.flatten(1).to(torch.bfloat16)
    norm_T = torch.linalg.vector_norm(pixels[1:] - pixels[:-1], dim=1, dtype=torch.float32)
    largest: Tensor = norm_T.max() / (127.5 * pixels.shape[1] ** 0.5)
    return (largest / full).clamp(max=1.0)


class MotionController:
    """Chooses the strength of each chunk from how fast the picture moves."""

    def __init__(self, config: NoiseConfig) -> None:
        self.config = config
        self._last_frame: Tensor | None = None
        self._share: Tensor | None = None

    def push(self, frames_TCHW: Tensor, strength: float, *, motion_aware: bool) -> Tensor:
        """The chunk's strength in 0..1, a 0-d float32 tensor on the frames' device."""
        share = self._share_left(frames_TCHW) if motion_aware else torch.ones((), device=frames_TCHW.device)
        self._share = share
        self._last_frame = frames_TCHW[-1:].clone()
        return strength * share

    def reset(self) -> None:
        """The next chunk is the first of a stream."""
        self._last_frame = self._share = None

    def _share_left(self, frames_TCHW: Tensor) -> Tensor:
        """Part of the strength that motion leaves; only this is smoothed, the strength is obeyed at once."""
        frames = frames_TCHW if self._last_frame is None else torch.cat([self._last_frame, frames_TCHW])
        share = 1 - self.config.motion_drop * motion_of(frames, self.config.motion_full)
        return share if self._share is None else torch.lerp(share, self._share, self.config.smoothing)
