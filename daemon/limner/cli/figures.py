"""The figures of a run: counted while it runs, written as one JSON report."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from limner.cli.errors import CliError

RECENT_S = 2.0
PACKAGES = ("limner", "torch", "numpy", "av", "pyzmq", "msgspec")


@dataclass
class Figures:
    """Counts and times of one run. Times in ns of the monotonic clock."""

    frames_in: int = 0
    frames_out: int = 0
    first_sent_ns: int = 0
    first_painted_ns: int = 0
    last_painted_ns: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    stages_ms: dict[str, float] = field(default_factory=dict)
    _recent_ns: deque[int] = field(default_factory=deque)

    def handed_over(self) -> None:
        """Note that a frame was handed over just now."""
        self.first_sent_ns = self.first_sent_ns or time.monotonic_ns()

    def painted(self, latency_ns: int, received_ns: int) -> None:
        """Note a painted frame."""
        self.frames_out += 1
        self.first_painted_ns = self.first_painted_ns or received_ns
        self.last_painted_ns = received_ns
        self.latencies_ms.append(latency_ns / 1e6)
        self._recent_ns.append(received_ns)

    @property
    def dropped(self) -> int:
        """Frames that came in and were not painted."""
        return self.frames_in - self.frames_out

    @property
    def fps(self) -> float:
        """Painted frames a second, from the first frame handed over to the last one painted."""
        span_ns = self.last_painted_ns - self.first_sent_ns
        return self.frames_out / (span_ns / 1e9) if self.frames_out and span_ns > 0 else 0.0

    @property
    def first_frame_ms(self) -> float | None:
        """From the first frame handed over to the first one painted; None: nothing was painted."""
        return (self.first_painted_ns - self.first_sent_ns) / 1e6 if self.frames_out else None

    def recent_fps(self, now_ns: int | None = None) -> float:
        """Painted frames a second over the last two seconds."""
        now = now_ns or time.monotonic_ns()
        while self._recent_ns and now - self._recent_ns[0] > RECENT_S * 1e9:
            self._recent_ns.popleft()
        return len(self._recent_ns) / min(RECENT_S, max(0.1, (now - self.first_sent_ns) / 1e9))

    def recent_latency_ms(self) -> float:
        """Delay of the newest painted frames."""
        newest = self.latencies_ms[-8:]
        return sum(newest) / len(newest) if newest else 0.0

    def report(self, *, model: str, device: str) -> dict[str, Any]:
        """Return the report that all commands with `--report` share."""
        return {
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "dropped": self.dropped,
            "fps": round(self.fps, 3),
            "first_frame_ms": None if self.first_frame_ms is None else round(self.first_frame_ms, 3),
            "latency_ms": percentiles(self.latencies_ms),
            "stages_ms": {name: round(ms, 3) for name, ms in self.stages_ms.items()},
            "model": model,
            "device": device,
        }


def percentiles(values: list[float]) -> dict[str, float | None]:
    """Return p50, p95 and p99 by nearest rank; None where there are no values."""
    ordered = sorted(values)
    return {
        f"p{share}": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 3)
        if ordered
        else None
        for share in (50, 95, 99)
    }


def surroundings() -> dict[str, Any]:
    """Return what a reader needs to judge or repeat the figures."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "command": ["limner", *sys.argv[1:]],
        "versions": versions,
        "machine": {
            "cpu": cpu_name(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
    }


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def check_report(path: str | None) -> None:
    """Raise CliError unless a report can be written to `path`: before minutes of work, not after."""
    if path is None:
        return
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():
        why = "it is a folder" if target.is_dir() else f"there is no folder {target.parent}"
        raise CliError(f"cannot write the report {path}: {why}")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise CliError(f"no permission to write the report {path}")


def write_report(path: str | None, report: dict[str, Any]) -> None:
    """Write `report` and the surroundings to `path`, if there is one; raises CliError."""
    if path is None:
        return
    try:
        Path(path).write_text(json.dumps(report | surroundings(), indent=2) + "\n")
    except OSError as error:
        raise CliError(f"cannot write the report {path}: {error.strerror}") from error
