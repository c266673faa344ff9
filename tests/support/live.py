"""A camera in front of a real daemon, and what became of its frames."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limner.daemon.client_session import ClientSession, PaintedFrame
from limner.daemon.protocol import Plan, Status

FPS = 30.0
PAN_PX = 3


@dataclass(frozen=True, kw_only=True)
class Look:
    """One status, on the camera's clock."""

    at_s: float
    status: Status

    @property
    def inside(self) -> int:
        """Frames that were neither painted nor dropped yet."""
        return self.status.received - self.status.painted - self.status.dropped

    @property
    def plan(self) -> Plan | None:
        return self.status.plan


@dataclass
class Record:
    """Times in s since the first frame, delays in ms."""

    painted: list[tuple[float, float]] = field(default_factory=list)
    """Presentation time and delay of each painted frame."""
    looks: list[Look] = field(default_factory=list)

    def delays_ms(self, from_s: float, to_s: float) -> list[float]:
        """Return the delays of the frames shown to the camera in between, in order of size."""
        return sorted(delay_ms for at_s, delay_ms in self.painted if from_s <= at_s < to_s)

    def looks_between(self, from_s: float, to_s: float) -> list[Look]:
        """Return the statuses that came in between."""
        return [look for look in self.looks if from_s <= look.at_s < to_s]

    def back_s(self, end_s: float) -> float | None:
        """Return how long after `end_s` nothing was reduced any more, for good; None: never."""
        reduced = [look.at_s for look in self.looks if look.plan is None or look.plan.reduced]
        last = max(reduced, default=0.0)
        if not self.looks or last == self.looks[-1].at_s:
            return None
        return max(0.0, min(look.at_s for look in self.looks if look.at_s > last) - end_s)


class Camera:
    """Drives a session in real time; frames for which there is no slot are dropped, as OBS drops them."""

    def __init__(self, session: ClientSession, fps: float = FPS) -> None:
        self._session, self._fps = session, fps
        self.record = Record()
        self._base_HWC = _scene(session.welcome.width, session.welcome.height)
        self._began_ns = time.monotonic_ns()
        self._next = 0

    @property
    def now_s(self) -> float:
        """Since the camera was switched on."""
        return (time.monotonic_ns() - self._began_ns) / 1e9

    def run(self, seconds: float) -> None:
        """Film for so long."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self._take(max(0.0, self._next / self._fps - self.now_s))
            if self._next / self._fps <= self.now_s:
                self._film()

    def run_until_painted(self, seconds: float) -> None:
        """Film until the first painted frame is there; fail after `seconds`."""
        while not self.record.painted:
            assert self.now_s < seconds, f"nothing was painted within {seconds:g} s"
            self.run(0.2)

    def _film(self) -> None:
        frame_HWC = np.ascontiguousarray(np.roll(self._base_HWC, PAN_PX * self._next, axis=1))
        self._session.send_frame(frame_HWC.data, time.monotonic_ns(), sequence=self._next)
        # A camera that was held up goes on from now, it does not race.
        self._next = max(self._next + 1, int(self.now_s * self._fps))

    def _take(self, timeout_s: float) -> None:
        """Take all that is there, after waiting for the first of it."""
        while (event := self._session.receive(timeout_s)) is not None:
            timeout_s = 0.0
            if isinstance(event, PaintedFrame):
                with event:
                    at_s = (event.pts_ns - self._began_ns) / 1e9
                    self.record.painted.append((at_s, event.latency_ns / 1e6))
            elif isinstance(event, Status):
                self.record.looks.append(Look(at_s=self.now_s, status=event))


def _scene(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return smooth stripes over a checkerboard, RGBA: what pans has motion and edges."""
    y_H1, x_1W = np.mgrid[0:height, 0:1][0], np.mgrid[0:1, 0:width][1]
    scene_HWC = np.full((height, width, 4), 255, np.uint8)
    scene_HWC[..., 0] = (127 + 120 * np.sin(6 * np.pi * x_1W / width)).astype(np.uint8)
    scene_HWC[..., 1] = (127 + 120 * np.cos(4 * np.pi * y_H1 / height)).astype(np.uint8)
    scene_HWC[..., 2] = (((x_1W // 16 + y_H1 // 16) % 2) * 200).astype(np.uint8)
    return scene_HWC


def share(ordered: list[float], part: float) -> float:
    """Return a percentile (nearest rank) of values in order; 0 of none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
