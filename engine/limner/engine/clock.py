"""Times of the stages of one push, without waiting for the device meanwhile."""

from __future__ import annotations

import time

import torch

from limner.engine.types import StageTimes


class StageClock:
    """`lap()` after each stage; `times()` when the results have arrived anyway."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._laps: list[float | torch.cuda.Event] = []
        self.lap()

    def lap(self) -> None:
        """The stage that has been running ends here."""
        self._laps.append(_cuda_event() if self._cuda else time.perf_counter())

    def times(self) -> StageTimes:
        """The four stages, ms. On CUDA this waits for the last lap."""
        assert len(self._laps) == 5, "encode, noise, denoise, decode"
        encode, noise, denoise, decode = (
            _between_ms(a, b) for a, b in zip(self._laps, self._laps[1:], strict=False)
        )
        return StageTimes(encode=encode, noise=noise, denoise=denoise, decode=decode)


def _cuda_event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch has no types here
    event.record()
    return event


def _between_ms(start: float | torch.cuda.Event, end: float | torch.cuda.Event) -> float:
    if isinstance(start, float) and isinstance(end, float):
        return (end - start) * 1000
    assert isinstance(start, torch.cuda.Event) and isinstance(end, torch.cuda.Event)
    end.synchronize()
    return float(start.elapsed_time(end))
