"""Times of stages, without waiting for the device meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

Mark = float | torch.cuda.Event


@dataclass(frozen=True)
class Span:
    """From one mark to another; how long that was, is known when the device has come there."""

    start: Mark
    end: Mark

    @property
    def is_over(self) -> bool:
        """The device has come to its end. Does not wait."""
        return _is_past(self.end)

    @property
    def is_begun(self) -> bool:
        """The device has come to its start. Does not wait."""
        return _is_past(self.start)

    def ms(self) -> float:
        """Length, ms. On CUDA this waits for the end."""
        if isinstance(self.start, float) and isinstance(self.end, float):
            return (self.end - self.start) * 1000
        assert isinstance(self.start, torch.cuda.Event) and isinstance(self.end, torch.cuda.Event)
        self.end.synchronize()
        return float(self.start.elapsed_time(self.end))


def _is_past(mark: Mark) -> bool:
    return isinstance(mark, float) or bool(mark.query())  # type: ignore[no-untyped-call]  # torch: no types


NO_TIME = Span(0.0, 0.0)
"""Of a stage that had nothing to do."""


class StageClock:
    """Runs from when it is made; `lap()` after each stage."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last = self._mark()

    def lap(self) -> Span:
        """The stage that has been running ends here."""
        span = Span(self._last, self._mark())
        self._last = span.end
        return span

    def _mark(self) -> Mark:
        return cuda_event(self._device) if self._device.type == "cuda" else time.perf_counter()


def cuda_event(device: torch.device) -> torch.cuda.Event:
    """Where the device's current stream is now; also tells times."""
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch has no types here
    event.record(torch.cuda.current_stream(device))  # Else it would be that of the first GPU.
    return event
