"""What both trainings share: a device, mixed precision, resumable checkpoints, a log."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


def pick_device() -> torch.device:
    """CUDA when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to bf16: tensor cores on CUDA, AMX on recent Intel CPUs."""
    return torch.autocast(device.type, torch.bfloat16)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write, then rename, so that a kill never leaves half a checkpoint."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.rename(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint, on the CPU, or None where there is none yet."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def cosine(progress: float, warmup: float = 0.02, floor: float = 0.02) -> float:
    """Learning-rate factor for progress 0..1: linear warm-up, then half a cosine down to `floor`."""
    if progress < warmup:
        return max(progress / warmup, 0.02)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass
class Clock:
    """Training time that survives restarts; a pause longer than a minute (SIGSTOP) does not count."""

    budget_s: float
    spent_s: float = 0.0
    _last_s: float = field(default_factory=time.monotonic)

    def tick(self) -> float:
        """Progress 0..1 after adding the time since the last tick."""
        now_s = time.monotonic()
        step_s = now_s - self._last_s
        self._last_s = now_s
        self.spent_s += step_s if step_s < 60 else 0.0
        return min(1.0, self.spent_s / self.budget_s)
