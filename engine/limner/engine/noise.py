"""Which noise: seeded, fresh or one field for the whole stream. How much: motion.py; with what: detail.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from limner.engine.errors import ConfigError

MOST_DETAIL = 10.0
_64_BITS = 2**64 - 1


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """How a model wants its noise."""

    kind: Literal["fresh", "static"] = "fresh"
    """`fresh`: new noise for every latent frame and step. `static`: one field for the whole stream, which
    flickers less, for models trained on it."""
    motion_full: float = 0.2
    """RMS frame difference of pixels in [-1, 1] that counts as full motion. More than 0."""
    motion_still: float = 0.0
    """Such a difference that counts as none yet: the noise of a camera is no motion. 0 to less than
    `motion_full`. Reference: 0."""

    detail_still: float = 0.0
    """How much of the picture's fine detail the noise holds while nothing moves, 0..10: a model that gives
    back less of it the more noise there is keeps it so. 0: none (flow matching). See detail.py."""
    detail_moving: float = 0.0
    """How much the noise holds at full motion of what changes within a latent frame, 0..10: what a model
    loses of that is seen as ghosts of earlier frames. 0: none (flow matching)."""

    def __post_init__(self) -> None:
        if self.kind not in ("fresh", "static"):
            raise ConfigError(f"noise.kind is {self.kind!r}; it must be 'fresh' or 'static'")
        if not self.motion_full > 0:
            raise ConfigError(f"noise.motion_full is {self.motion_full}; it must be more than 0")
        if not 0 <= self.motion_still < self.motion_full:
            raise ConfigError(
                f"noise.motion_still is {self.motion_still}; it must be at least 0 and less than"
                f" noise.motion_full ({self.motion_full})"
            )
        for name in ("detail_still", "detail_moving"):
            if not 0 <= getattr(self, name) <= MOST_DETAIL:
                raise ConfigError(f"noise.{name} is {getattr(self, name)}; it must be in 0..{MOST_DETAIL:g}")


class NoiseSource:
    """Noise as a function of the seed, the chunk and the step, and of nothing else.

    So it does not matter in which order chunks and steps are computed, by whom, or after which restart.
    """

    def __init__(self, config: NoiseConfig, device: torch.device) -> None:
        self.config = config
        self._device = device
        self._field: tuple[int, Tensor] | None = None

    def draw(self, shape_TCHW: torch.Size, *, seed: int, chunk: int, step: int) -> Tensor:
        """Noise for one chunk before its step (counted from 0), float32. Static noise: one field a seed."""
        if self.config.kind == "fresh":
            return self._normal(shape_TCHW, mixed_seed(seed, chunk, step))
        return self._static(seed, torch.Size((1, *shape_TCHW[1:]))).expand(shape_TCHW)

    def _static(self, seed: int, shape_TCHW: torch.Size) -> Tensor:
        if self._field is None or self._field[0] != seed or self._field[1].shape != shape_TCHW:
            self._field = (seed, self._normal(shape_TCHW, seed))
        return self._field[1]

    def _normal(self, shape: torch.Size, seed: int) -> Tensor:
        generator = torch.Generator(self._device)
        generator.manual_seed(seed)
        return torch.randn(shape, generator=generator, device=self._device)


def mixed_seed(seed: int, chunk: int, step: int) -> int:
    """A seed of 64 bits for one chunk and step: near inputs give unrelated outputs (SplitMix64)."""
    state = seed << 32
    for part in (chunk, step):
        state = _split_mix(state + part)
    return state


def _split_mix(value: int) -> int:
    # Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    value = (value + 0x9E3779B97F4A7C15) & _64_BITS
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _64_BITS
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _64_BITS
    return value ^ (value >> 31)
