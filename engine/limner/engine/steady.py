"""Steadiness: what does not change in the source does not flicker in the painting.

A painted frame is mixed with the one before it, moved along with the source, as far as the source really did
move so. It is the recursive filter of video denoising, with its motion taken from the source, which is sharp
and true, and not from the painting. Nothing is held where something is uncovered or changes by itself.

Optical flow: OpenCV's DIS (arXiv 1603.03590), on the host, where the frames come from.
Legend: T frames, H×W pixels, h×w pixels of half the size.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from limner.engine.errors import StateError
from limner.engine.state import StreamState
from limner.engine.types import Trace

FIT = 22.0
"""Grey levels between a source pixel and where it came from at which the hold falls to 1/e."""
AROUND = 3
"""A pixel fits only if those in this square around it do: the flow is smooth, the edge of a hand is not."""

LEAST_SIDE = 16
"""Of the halved frame; OpenCV follows no smaller ones."""

Picture = NDArray[np.uint8]


class Follower:
    """Follows the source from frame to frame. Streaming: push, reset."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(0)
        self._last: Picture | None = None

    def push(self, frames_TCHW: Tensor, steadiness: float) -> Trace:
        """uint8 frames → their trace, on the frames' device; nothing is kept of what was before the first."""
        pairs = [self._follow(frame_HWC) for frame_HWC in frames_TCHW.permute(0, 2, 3, 1).cpu().numpy()]
        flow_Thw2 = torch.from_numpy(np.stack([flow for flow, _ in pairs]))
        keep_Thw = torch.from_numpy(np.stack([keep for _, keep in pairs])) * steadiness
        device = frames_TCHW.device
        return Trace(
            flow_T2hw=flow_Thw2.permute(0, 3, 1, 2).to(device), keep_T1hw=keep_Thw.unsqueeze(1).to(device)
        )

    def reset(self) -> None:
        """The next frame is the first."""
        self._last = None

    def state(self) -> StreamState:
        """The newest frame."""
        return StreamState(tensors={} if self._last is None else {"last": torch.from_numpy(self._last)})

    def restore(self, state: StreamState) -> None:
        """Go on from a frame."""
        last = state.tensors.get("last")
        self._last = None if last is None else last.cpu().numpy().astype(np.uint8)

    def _follow(self, frame_HWC: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        height, width = frame_HWC.shape[0] // 2, frame_HWC.shape[1] // 2
        frame = np.ascontiguousarray(frame_HWC)
        half = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        last, self._last = self._last, half
        if last is None or min(height, width) < LEAST_SIDE:
            return np.zeros((height, width, 2), np.float32), np.zeros((height, width), np.float32)
        flow = np.zeros((height, width, 2), np.float32)
        self._flow.calc(_grey(half), _grey(last), flow)
        return flow, _fit(half, last, flow)


class Steadier:
    """Holds what is painted along the source's trace. Streaming: push, reset."""

    def __init__(self) -> None:
        self._last_1CHW: Tensor | None = None
        """The newest frame, float32, not rounded."""

    def push(self, frames_TCHW: Tensor, trace: Trace) -> Tensor:
        """uint8 frames and the trace of their source → uint8 frames."""
        size = (frames_TCHW.shape[-2], frames_TCHW.shape[-1])
        flow_T2HW = functional.interpolate(trace.flow_T2hw, size, mode="bilinear", align_corners=False)
        keep_T1HW = functional.interpolate(trace.keep_T1hw, size, mode="bilinear", align_corners=False)
        places_THW2 = sampling_places(flow_T2HW * 2)
        steady = frames_TCHW.float()
        last = steady[:1] if self._last_1CHW is None else self._last_1CHW
        for number, places in enumerate(torch.split(places_THW2, 1)):
            moved = functional.grid_sample(
                last, places, mode="bicubic", padding_mode="border", align_corners=True
            )
            last = steady[number : number + 1].lerp_(moved, keep_T1HW[number])
        self._last_1CHW = last.clone()
        return steady.round_().clamp_(0, 255).to(torch.uint8)

    def reset(self) -> None:
        """The next frame is the first."""
        self._last_1CHW = None

    def state(self) -> StreamState:
        """The newest frame."""
        return StreamState(tensors={} if self._last_1CHW is None else {"last": self._last_1CHW})

    def restore(self, state: StreamState, device: torch.device) -> None:
        """Go on from a frame."""
        last = state.tensors.get("last")
        if last is not None and last.ndim != 4:
            raise StateError(f"the last frame has the shape {tuple(last.shape)}; it must be [1, 3, H, W]")
        self._last_1CHW = None if last is None else last.to(device).clone()


def sampling_places(flow_T2HW: Tensor) -> Tensor:
    """Flow in pixels → where `grid_sample` shall look, [T, H, W, 2] in -1..1."""
    height, width = flow_T2HW.shape[-2:]
    y = torch.linspace(-1, 1, height, device=flow_T2HW.device)
    x = torch.linspace(-1, 1, width, device=flow_T2HW.device)
    own_HW2 = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    step = x.new_full((2,), 2 / max(1, width - 1))  # Filled over there: nothing is sent, so nobody waits.
    step[1] = 2 / max(1, height - 1)
    return own_HW2 + flow_T2HW.permute(0, 2, 3, 1) * step


def _grey(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _fit(picture: Picture, before: Picture, flow_hw2: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well each pixel looks like what the flow says that it was, 0..1."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = cv2.remap(
        before, x + flow_hw2[..., 0], y + flow_hw2[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    misfit = cv2.blur(cv2.absdiff(moved, picture).max(axis=2), (AROUND, AROUND)).astype(np.float32)
    return np.asarray(np.exp(-((misfit / FIT) ** 2)), np.float32)
