"""The figures of a first run, from what the filter and OBS themselves say."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Figures:
    """painted_fps: new painted frames a second in the programme; latency: presentation time to display."""

    painted_fps: float
    latency_ms_p50: float
    latency_ms_p95: float
    obs_frames: int
    obs_lagged: int

    @property
    def lagged_percent(self) -> float:
        """Share of OBS's own frames that came late."""
        return 100.0 * self.obs_lagged / max(1, self.obs_frames)

    def line(self) -> str:
        """Return the figures as one line for people."""
        return (
            f"{self.painted_fps:.1f} painted frames a second, latency p50 {self.latency_ms_p50:.0f} ms, "
            f"p95 {self.latency_ms_p95:.0f} ms, OBS lagged {self.obs_lagged} of {self.obs_frames} frames "
            f"({self.lagged_percent:.1f} %)"
        )

    def to_json(self) -> str:
        """Return the figures for programs."""
        return json.dumps(asdict(self) | {"lagged_percent": round(self.lagged_percent, 2)}, indent=1)


@dataclass(frozen=True, kw_only=True)
class FilterCounts:
    """What the filter had counted at a moment (time.monotonic, s)."""

    at_s: float
    painted_shown: int
    latency_ms_p50: float
    latency_ms_p95: float


def read_filter_stats(path: Path, now_s: float) -> FilterCounts | None:
    """Return what the filter last wrote, or None before it wrote anything."""
    try:
        stats = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    filters = stats.get("filters", [stats])
    if not filters:
        return None
    first = filters[0]
    return FilterCounts(
        at_s=now_s,
        painted_shown=int(first.get("painted_shown", 0)),
        latency_ms_p50=float(first.get("latency_ms_p50", 0.0)),
        latency_ms_p95=float(first.get("latency_ms_p95", 0.0)),
    )


def obs_frames_and_lagged(log: str) -> tuple[int, int]:
    """Return (frames drawn, frames that lagged) of the recording, from OBS's log at its end."""
    drawn = re.findall(r"Total drawn frames: (\d+)", log)
    lagged = re.findall(r"Number of lagged frames due to rendering lag/stalls: (\d+)", log)
    return (int(drawn[-1]) if drawn else 0, int(lagged[-1]) if lagged else 0)
