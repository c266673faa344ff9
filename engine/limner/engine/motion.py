"""How much noise: the motion-aware controller.

Fast motion → less noise, slow → more. Reference: m is the largest RMS difference of neighbouring frames in
the chunk, in units of [-1, 1] pixels, over 0.2 and clipped to 1; s = 0.9 * (s0 - 0.1 * m) + 0.1 * s_previous
at s0 = 0.8. Here motion chooses a share of the strength that the person set, so that it means the same all
along the slider and a moved slider is obeyed at once. A window longer than the chunk holds the share down for
a moment after fast motion, and hysteresis keeps it still while nothing much changes: noise whose amount
trembles is seen as flicker. What a camera's noise alone changes counts as stillness.

Everything stays on the device: nobody waits for what is chosen. Legend: T frames, W the longest window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from limner.engine.errors import StateError
from limner.engine.noise import NoiseConfig
from limner.engine.state import StreamState
from limner.engine.types import MOST_WINDOW_FRAMES, StreamSettings

_REMEMBERED = ("last_1CHW", "motion_W", "smooth", "share", "motion")


def motion_of(frames_TCHW: Tensor, full: float, still: float = 0.0) -> Tensor:
    """Motion in 0..1 from each uint8 frame to the next, [T - 1].

    By the RMS difference of [-1, 1] pixels: none up to `still`, full from `full` on.
    """
    # bfloat16 is exact here: it holds whole numbers up to 256, and the differences are such numbers too.
    pixels = frames_TCHW.flatten(1).to(torch.bfloat16)
    norm_T: Tensor = torch.linalg.vector_norm(pixels[1:] - pixels[:-1], dim=1, dtype=torch.float32)
    rms_T = norm_T / (127.5 * math.sqrt(pixels.shape[1]))
    return ((rms_T - still) / (full - still)).clamp(0.0, 1.0)


def share_of(motion: Tensor, *, low: float, high: float) -> Tensor:
    """Share of the strength: `high` when nothing moves, `low` at full motion, in proportion between."""
    return high - (high - low) * motion


class MotionController:
    """Chooses the strength of each chunk from how fast the picture moves."""

    def __init__(self, config: NoiseConfig) -> None:
        self.config = config
        self._last_1CHW: Tensor | None = None
        self._motion_W: Tensor | None = None
        self._smooth: Tensor | None = None
        self._share: Tensor | None = None
        self._motion: Tensor | None = None

    @property
    def motion(self) -> Tensor:
        """How fast the last chunk moves, 0..1, smoothed as its share is; 0-d, on the frames' device."""
        if self._motion is None:
            raise ValueError("nothing has been pushed yet")
        return self._motion

    def push(self, frames_TCHW: Tensor, settings: StreamSettings) -> Tensor:
        """The chunk's strength in 0..1, a 0-d float32 tensor on the frames' device.

        Settings may differ from call to call; what was seen before counts on. While `motion_aware` is off,
        motion is still watched.
        """
        motion_W = self._watched(frames_TCHW)
        largest = motion_W[-settings.motion_window :].max()
        share = share_of(largest, low=settings.motion_low, high=settings.motion_high)
        self._smooth = _smoothed(share, self._smooth, settings)
        self._motion = _smoothed(largest, self._motion, settings)
        self._share = _settled(self._smooth, self._share, settings.motion_hysteresis)
        share = self._share if settings.motion_aware else torch.ones_like(self._share)
        return (settings.strength * share).clamp(0.0, 1.0)

    def reset(self) -> None:
        """The next chunk is the first of a stream."""
        self._last_1CHW = self._motion_W = self._smooth = self._share = self._motion = None

    def state(self) -> StreamState:
        """What it remembers; nothing before the first chunk."""
        remembered = {name: getattr(self, f"_{name}") for name in _REMEMBERED}
        return StreamState(tensors={name: t.clone() for name, t in remembered.items() if t is not None})

    def restore(self, state: StreamState, device: torch.device) -> None:
        """Go on from a state."""
        self.reset()
        for name in state.tensors:
            if name not in _REMEMBERED:
                raise StateError(f"the state's motion/{name} is not known")
            setattr(self, f"_{name}", state.tensors[name].to(device))

    def _watched(self, frames_TCHW: Tensor) -> Tensor:
        """Motion of the latest frames, newest last, always as long; nothing moves into a first frame."""
        last, before = self._last_1CHW, self._motion_W
        if before is None:
            before = torch.zeros(MOST_WINDOW_FRAMES, device=frames_TCHW.device)
        motion_T = motion_of(
            torch.cat([frames_TCHW[:1] if last is None else last, frames_TCHW]),
            self.config.motion_full,
            self.config.motion_still,
        )
        self._last_1CHW = frames_TCHW[-1:].clone()
        self._motion_W = torch.cat([before, motion_T])[-MOST_WINDOW_FRAMES:]
        return self._motion_W


def _smoothed(now: Tensor, before: Tensor | None, settings: StreamSettings) -> Tensor:
    return now if before is None else torch.lerp(now, before, settings.motion_smoothing)


def _settled(share: Tensor, in_force: Tensor | None, hysteresis: float) -> Tensor:
    """The share in force from now on: small differences change nothing.

    Compared after smoothing, not fed back into it: slow smoothing would never get away from where it is.
    """
    if in_force is None:
        return share
    return torch.where((share - in_force).abs() < hysteresis, in_force, share)
