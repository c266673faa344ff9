"""The figures of a first run, from what the filter and OBS themselves say."""

from __future__ import annotations

import json
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
    except FileNotFoundError:
        return None
    return FilterCounts(
        at_s=now_s,
        painted_shown=int(stats["painted_shown"]),
        latency_ms_p50=float(stats["latency_ms_p50"]),
        latency_ms_p95=float(stats["latency_ms_p95"]),
    )


@dataclass(frozen=True, kw_only=True)
class ObsCounts:
    """OBS's own counters since its start, and whether it records."""

    frames: int
    lagged: int
    recording: bool


def read_obs_counts(path: Path) -> ObsCounts | None:
    """Return what recorder.lua last wrote, or None before it wrote anything."""
    try:
        counts = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return ObsCounts(
        frames=int(counts["frames"]), lagged=int(counts["lagged"]), recording=bool(counts["recording"])
    )
