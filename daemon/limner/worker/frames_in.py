"""How a chunk's frames leave their slots: copied to memory of our own, or by DMA to the device.

Legend: C colours, H×W pixels, 4 = RGBA bytes of a slot.
"""
# ruff: noqa: PLC0415  (torch loads under a progress report)

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from limner.engine.slo_plan import FRAMES_PER_LATENT
from limner.worker.engines import Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from limner.engine.engine import Engine
    from limner.engine.frames import Uploaded, Uploader
    from limner.engine.overlap import AnyLanes

MOST_CHUNK_LATENTS = 4


class FramesIn(Protocol):
    """Takes chunks of one stream out of their slots."""

    def take(self, frames: Sequence[Pixels]) -> Tensor | Uploaded:
        """Return the chunk as the engine takes it. The slots may go back then."""


class HostFrames:
    """Copies to buffers of our own."""

    def __init__(self, height: int, width: int, most_inside: int) -> None:
        import torch

        shape = (MOST_CHUNK_LATENTS * FRAMES_PER_LATENT, 3, height, width)
        # A chunk's frames must stay until it is encoded, so each that may be inside has a buffer of its own.
        self._buffers = deque(torch.empty(shape, dtype=torch.uint8) for _ in range(most_inside + 1))
        self._from_numpy = torch.from_numpy

    def take(self, frames: Sequence[Pixels]) -> Tensor:
        """As `FramesIn` says."""
        chunk_TCHW = self._buffers[0][: len(frames)]
        self._buffers.rotate()
        for frame_CHW, frame_HW4 in zip(chunk_TCHW, frames, strict=True):
            frame_CHW.copy_(self._from_numpy(frame_HW4[..., :3]).permute(2, 0, 1))
        return chunk_TCHW


class DeviceFrames:
    """Sends each frame to the device as it lies in its slot."""

    def __init__(self, uploader: Uploader) -> None:
        import torch

        self._uploader = uploader
        self._from_numpy = torch.from_numpy

    def take(self, frames: Sequence[Pixels]) -> Uploaded:
        """As `FramesIn` says."""
        return self._uploader.push([self._from_numpy(frame_HW4) for frame_HW4 in frames])


def frames_into(engine: Engine, lanes: AnyLanes, height: int, width: int) -> FramesIn:
    """Return the way that suits: a model that is steadied follows the frames on the host."""
    from limner.engine.device_lanes import DeviceLanes

    if isinstance(lanes, DeviceLanes) and not engine.config.steady:
        return DeviceFrames(lanes.uploader)
    return HostFrames(height, width, lanes.most_inside)
