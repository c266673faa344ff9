"""Pictures to another size, as a pure function. Legend: T frames, C channels, H×W pixels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def scaled(frames_TCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 frames → uint8 frames of `size` (height, width); the same ones when they have it already.

    Bilinear; where it shrinks, every pixel counts (antialias), so that fine detail does not shimmer.
    """
    if tuple(frames_TCHW.shape[-2:]) == size:
        return frames_TCHW
    # torch has an exact and fast way for uint8 on the CPU only.
    direct = frames_TCHW.device.type == "cpu"
    out_TCHW = functional.interpolate(
        frames_TCHW if direct else frames_TCHW.float(), size=size, mode="bilinear", antialias=True
    )
    return out_TCHW if direct else out_TCHW.round_().clamp_(0, 255).to(frames_TCHW.dtype)
