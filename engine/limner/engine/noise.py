"""How much noise (the motion-aware controller) and which noise (seeded).

Reference: fast motion → less noise, slow → more. m is the largest RMS difference of neighbouring frames in
the chunk, in units of [-1, 1] pixels, over 0.2 and clipped to 1; s = 0.9 * (s0 - 0.1 * m) + 0.1 * s_previous
at s0 = 0.8. Here the 0.1 is relative to the strength that the person chose, so that it means the same all
along the slider.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from limner.engine.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """How a model wants its noise."""

    kind: Literal["fresh", "static"] = "fresh"
    """`fresh`: new noise for every latent frame and step. `static`: one field for the whole stream, which
    flickers less, for models trained on it."""
    motion_full: float = 0.2
    """RMS frame difference of pixels in [-1, 1] that counts as full motion. More than 0."""
    motion_drop: float = 0.125
    """What full motion takes off the strength, as a part of it. 0..1. Reference: 0.1 of 0.8."""
    smoothing: float = 0.1
    """Weight of the strength before, 0 up to but not 1. Reference: 0.1."""

    def __post_init__(self) -> None:
        if self.kind not in ("fresh", "static"):
            raise ConfigError(f"noise.kind is {self.kind!r}; it must be 'fresh' or 'static'")
        if not self.motion_full > 0:
            raise ConfigError(f"noise.motion_full is {self.motion_full}; it must be more than 0")
        if not 0 <= self.motion_drop <= 1:
            raise ConfigError(f"noise.motion_drop is {self.motion_drop}; it must be in 0..1")
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"noise.smoothing is {self.smoothing}; it must be at least 0 and less than 1")


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


class NoiseSource:
    """Seeded noise of one stream: the same seed and the same calls give the same noise."""

    def __init__(
        self, config: NoiseConfig, *, shape_CHW: tuple[int, int, int], seed: int, device: torch.device
    ) -> None:
        self.config = config
        self.shape_CHW = shape_CHW
        self._generator = torch.Generator(device)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Begin again with this seed."""
        self.seed = seed
        self._generator.manual_seed(seed)
        self._field = self._draw((1, *self.shape_CHW)) if self.config.kind == "static" else None

    def draw(self, latent_frames: int) -> Tensor:
        """Noise [T, C, H, W] for one chunk, float32."""
        if self._field is not None:
            return self._field.expand(latent_frames, -1, -1, -1)
        return self._draw((latent_frames, *self.shape_CHW))

    def _draw(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self._generator.device)
