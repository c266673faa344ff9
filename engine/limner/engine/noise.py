"""Which noise: seeded, fresh or one field for the whole stream. How much of it: see motion.py."""

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

    def __post_init__(self) -> None:
        if self.kind not in ("fresh", "static"):
            raise ConfigError(f"noise.kind is {self.kind!r}; it must be 'fresh' or 'static'")
        if not self.motion_full > 0:
            raise ConfigError(f"noise.motion_full is {self.motion_full}; it must be more than 0")


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
