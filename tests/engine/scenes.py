"""Made-up scenes that a camera might see: still, panned over, cut."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

HEIGHT, WIDTH = 72, 128


def scene(seed: int, *, height: int = HEIGHT, width: int = WIDTH, frames_wide: int = 1) -> Tensor:
    """One picture [3, H, W * frames_wide], float 0..255: soft shapes, without a likeness to other seeds'."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 3, 9, 16 * frames_wide, generator=generator)
    picture = functional.interpolate(noise, (height, width * frames_wide), mode="bicubic")[0]
    return (128 + 60 * picture).clamp(0, 255)


def still(seed: int, frames: int, *, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """A scene [T, 3, H, W], uint8, with a camera's noise."""
    picture = scene(seed, height=height, width=width)
    noise = torch.randn((frames, *picture.shape), generator=torch.Generator().manual_seed(seed)) * 3
    return (picture + noise).clamp(0, 255).byte()


def pan(seed: int, frames: int, speed: float) -> Tensor:
    """A pan over a wide picture, in widths of the frame per frame."""
    wide = scene(seed, frames_wide=8)
    starts = [round(i * speed * WIDTH) % (WIDTH * 7) for i in range(frames)]
    return torch.stack([wide[:, :, x : x + WIDTH] for x in starts]).byte()
