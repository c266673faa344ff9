"""Overload, live: in the middle of a run other programs take half of the machine.

    python -m tests.benchmarks.overload --steps 2 --report docs/measurements/overload.json

A real daemon with `pocket`, a camera of 30 FPS through shared memory. The load: as many processes as there
are cores, at the worker's own niceness, that do nothing but compute. Promises: under load the delay's
p95 stays within the limit, no queue grows, and quality is back within 10 s of the load's end.
Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from tests.benchmarks.report import finish
from tests.support.daemon import running_daemon
from tests.support.live import FPS, Camera, Record, share

from limner.cli.figures import cpu_name
from limner.daemon.client_session import ClientSession, hello_for
from limner.daemon.protocol import Change
from limner.engine.slo import RECOVERY_S
from limner.worker.__main__ import NICENESS

SOURCE = (1280, 720)
SPIN = f"import os\nos.nice({NICENESS})\nwhile True: pass"
# A camera's frames of a second: more than ever wait when latest wins.
MOST_INSIDE = 30
FIRST_S = 30.0


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Compute in so many processes meanwhile."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def run(options: argparse.Namespace) -> tuple[Record, tuple[float, float]]:
    """Film through it; return the record, and when the load began and ended."""
    change = Change(style=options.style, steps=options.steps, latency_ms=options.latency_ms)
    with running_daemon("pocket", threads=options.threads) as daemon:
        hello = hello_for("overload", "bench", SOURCE, options.fps, change)
        daemon.wait_ready()
        with ClientSession(hello, daemon.runtime_dir) as session:
            camera = Camera(session, options.fps)
            camera.run_until_painted(FIRST_S)
            camera.run(options.seconds)
            began_s = camera.now_s
            with busy(options.processes):
                camera.run(options.seconds)
            ended_s = camera.now_s
            camera.run(options.seconds)
    return camera.record, (began_s, ended_s)


def figures(record: Record, from_s: float, to_s: float) -> dict[str, Any]:
    """Return what a part of the run was like."""
    delays, looks = record.delays_ms(from_s, to_s), record.looks_between(from_s, to_s)
    return {
        "delay_ms": {name: round(share(delays, part), 1) for name, part in PARTS.items()},
        "painted_fps": round(len(delays) / (to_s - from_s), 2),
        "most_frames_inside": max((look.inside for look in looks), default=0),
        "sentence": looks[-1].status.sentence if looks else "",
    }


PARTS = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "worst": 1.0}


def timeline(record: Record) -> list[dict[str, Any]]:
    """Return how it was from half second to half second."""
    return [
        {
            "at_s": round(look.at_s, 2),
            "delay_p95_ms": look.status.latency_ms.p95,
            "fps_out": look.status.fps_out,
            "inside": look.inside,
            "stages_ms": look.status.stages_ms,
            "plan": None if look.plan is None else msgspec.to_builtins(look.plan),
        }
        for look in record.looks
    ]


def broken(report: dict[str, Any], latency_ms: int) -> Iterator[str]:
    """Give what was promised and not kept."""
    during = report["during"]
    if during["delay_ms"]["p95"] > latency_ms:
        yield f"delay p95 under load is {during['delay_ms']['p95']} ms, the limit {latency_ms} ms"
    if during["most_frames_inside"] > MOST_INSIDE:
        yield f"{during['most_frames_inside']} frames were inside at once"
    if during["painted_fps"] == 0:
        yield "nothing was painted under load"
    back_s = report["quality_back_s"]
    if back_s is None or back_s > RECOVERY_S:
        yield f"quality was back after {back_s} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, say how it went, write the report; return the exit status."""
    options = _options(arguments)
    record, (began_s, ended_s) = run(options)
    report = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "settings": {key: value for key, value in vars(options).items() if key != "report"},
        "before": figures(record, began_s - 0.8 * options.seconds, began_s),
        "during": figures(record, began_s, ended_s),
        "after": figures(record, ended_s, ended_s + options.seconds),
        "quality_back_s": None if (back_s := record.back_s(ended_s)) is None else round(back_s, 2),
        "load_s": [round(began_s, 2), round(ended_s, 2)],
        "timeline": timeline(record),
    }
    for part in ("before", "during", "after", "quality_back_s"):
        print(part, report[part])
    return finish(report, broken(report, options.latency_ms), options.report)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--report", type=Path, help="JSON file to write")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--fps", type=float, default=FPS, help="of the camera")
    parser.add_argument("--style", default="watercolor")
    parser.add_argument("--latency-ms", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each of the three parts")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of the worker")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that take the machine's time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
