"""Noise levels of flow matching, as pure functions. Sigma is in 0..1: x = (1 - sigma) * z + sigma * noise.

Two kinds of models: those distilled on a list of timesteps of a shifted grid (Wan, StreamDiffusionV2), and
those trained on every level alike, where the steps go down evenly from the strength (`pocket`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from limner.engine.errors import ConfigError
from limner.engine.types import MOST_STEPS

GRID_STEPS = 1000
T = TypeVar("T", float, Tensor)


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Which noise levels the steps have."""

    timesteps: tuple[float, ...] = ()
    """Timesteps of steps 1 to 4, in 0..1000, falling; n steps use the first n. Empty: even steps down from
    the strength. Reference: 700, 500, 400, 200."""
    shift: float = 1.0
    """Time shift, above 0. With listed timesteps: of the grid that they are looked up on (reference: 8). With
    even steps: from strength to sigma, below 1 for latents that so much noise would drown."""
    offset: float = 0.0
    """What the model is told at the first step is this much less than sigma. 0..0.5. Reference: 0.1."""
    default_strength: float = 0.5
    """Strength that suits this model, 0..1."""

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in zip(self.timesteps, self.timesteps[1:], strict=False))
        if self.timesteps and (len(self.timesteps) != MOST_STEPS or not falling):
            raise ConfigError(
                f"schedule.timesteps is {self.timesteps}; needs {MOST_STEPS} falling numbers or none"
            )
        if not all(0 < t <= GRID_STEPS for t in self.timesteps):
            raise ConfigError(f"schedule.timesteps is {self.timesteps}; each must be in 0..{GRID_STEPS}")
        if not 0 < self.shift <= 100:
            raise ConfigError(f"schedule.shift is {self.shift}; it must be above 0 and at most 100")
        if not 0 <= self.offset <= 0.5:
            raise ConfigError(f"schedule.offset is {self.offset}; it must be in 0..0.5")
        if not 0 <= self.default_strength <= 1:
            raise ConfigError(f"schedule.default_strength is {self.default_strength}; it must be in 0..1")


def shifted(sigma: T, shift: float) -> T:
    """Time shift of flow matching: s * sigma / (1 + (s - 1) * sigma)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def grid_sigma(timestep: float, shift: float) -> float:
    """Sigma of the grid point nearest to a timestep in 0..1000. At shift 8: 500 → 0.49972, 200 → 0.19835."""
    grid = (shifted(i / GRID_STEPS, shift) for i in range(GRID_STEPS, 0, -1))
    return min(grid, key=lambda sigma: abs(sigma * GRID_STEPS - timestep))


@lru_cache(maxsize=64)
def even_ratios(steps: int) -> tuple[float, ...]:
    """What the strength is multiplied by at each step when steps go down evenly: 1 - i / n."""
    return tuple(1 - i / steps for i in range(steps))


@lru_cache(maxsize=64)
def listed_sigmas(config: ScheduleConfig, steps: int) -> tuple[float, ...]:
    """Sigma of each of the first n listed timesteps."""
    return tuple(grid_sigma(timestep, config.shift) for timestep in config.timesteps[:steps])


def step_sigmas(config: ScheduleConfig, strength: Tensor, steps: int) -> Tensor:
    """Sigma of each step [steps], falling (the strength is a 0-d tensor; nobody waits for the device).

    Even steps go down from the strength, each shifted. Listed steps after the first are those of the list;
    all shrink in proportion when the strength is below the first of the list, so that sigma falls and
    vanishes with the strength.
    """
    if not config.timesteps:
        return shifted(strength * _row(even_ratios(steps), strength.device), config.shift)
    listed = _row(listed_sigmas(config, steps), strength.device) * _scale(config, strength)
    return torch.cat([strength.reshape(1), listed[1:]])


def told_sigmas(config: ScheduleConfig, sigmas_N: Tensor) -> Tensor:
    """What the model is told: the first step's level less the offset; the others as they are."""
    if not config.offset:
        return sigmas_N
    first = sigmas_N[:1]
    return torch.cat([(first - config.offset * _scale(config, first)).clamp(min=0.0), sigmas_N[1:]])


def add_noise(z: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """(1 - sigma) * z + sigma * noise."""
    return torch.lerp(z, noise, sigma)


def predict_clean(x: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
    """x0 = x - sigma * v."""
    return x - sigma * velocity


def _scale(config: ScheduleConfig, strength: Tensor) -> Tensor:
    full = config.timesteps[0] / GRID_STEPS if config.timesteps else 1.0
    return (strength / full).clamp(max=1.0)


@lru_cache(maxsize=64)
def _row(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)
