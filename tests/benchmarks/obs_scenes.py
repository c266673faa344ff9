"""How fast a scene's look is in the picture, in a real OBS under Xvfb with `pocket`, and what a burst costs.

    .venv/bin/python -m tests.benchmarks.obs_scenes [--changes 20] [--out out/obs_scenes.json]

Needs what installer/test.sh sets up, and a machine that does nothing else. Times run
from the request that puts the scene on air: `in_force_ms` until the daemon has the new settings (the part of
the control), `visible_ms` until the picture of that scene has the new look, as screenshots see it (one every
`screenshot_ms`).

`by_hand` is the same without scenes and control, from what a client says, and tells where the time goes:
`accepted_ms`, `painted_ms` (its chunk has come out: gathering, encoding, denoising, decoding), `visible_ms`;
`first_frame_ms` is when the first frame in the new look was captured, which may be before, and `playout_ms`
how late OBS then shows it. `stages_ms` are those of an ordinary chunk.

`bursts`: 200 changes in 10 s; what OBS lags with the filter painting, with nothing happening, and with the
filter off: that is OBS's own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tests.end_to_end.harness import bursts, clips, scenes
from tests.end_to_end.harness.builds import CACHE, built
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.looks import Eye, Look, look, steady_look
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import RunningDaemon, private_runtime_dir

from limner.daemon.client import Client
from limner.daemon.protocol import Applied, Change

STYLES = {"Main": "pencil sketch", "Gaming": "neon"}
RULES = "\n".join(
    [
        *(f'[[rules]]\nscene = "{scene}"\nstyle = "{style}"\n' for scene, style in STYLES.items()),
        '[[rules]]\nsource = "Cam"\nfilter = "Dream"\nstrength = 0.25\n',
    ]
)
BURST = 200
TRANSITION_MS = 1000
SETTLE_S = 3.0


def measure(changes: int) -> dict[str, Any]:
    """Run everything and return the report."""
    street = clips.one_shot(
        clips.raw_frames(clips.clip("bikes"), CACHE / "clips/bikes.yuv"), CACHE / "clips/street.yuv"
    )
    camera = Camera(name="Cam", raw_file=street, limner={"start_daemon": False, "style": "sepia"})
    with tempfile.TemporaryDirectory() as plugins, private_runtime_dir() as folder:
        obs = Obs(built(Path(plugins)), (camera,), runtime_dir=folder / "run")
        with scenes.ruled_daemon(obs, RULES, engine="pocket", threads=2) as daemon, obs:
            daemon.wait_ready()
            scenes.add_scene(obs, "Gaming", "Cam")
            obs.wait_painted()
            looks = {style: _settled(obs, daemon, scene) for scene, style in STYLES.items()}
            found: list[dict[str, Any]] = []
            lagged_percent = _lagged_percent(
                obs,
                lambda: found.extend(
                    _change(obs, daemon, looks, ("Gaming", "Main")[n % 2]) for n in range(changes)
                ),
            )
            report = _summary(found) | {"obs_lagged_percent": lagged_percent}
            report["playout_delay_ms"] = obs.filter_stats()["delay_ms"]
            report["by_hand"] = _by_hand(obs, daemon, looks, changes)
            report["transition"] = _transition(obs, daemon, looks)
            report["bursts"] = _bursts(obs, daemon)
    return {"command": " ".join(["python -m tests.benchmarks.obs_scenes", *sys.argv[1:]]), **report}


def _settled(obs: Obs, daemon: RunningDaemon, scene: str) -> Look:
    obs.show_scene(scene)
    wait_for(scene, lambda: scenes.settings_of(daemon, "Cam").style == STYLES[scene], 30)
    time.sleep(SETTLE_S)
    return steady_look(obs, scene)


def _change(obs: Obs, daemon: RunningDaemon, looks: dict[str, Look], scene: str) -> dict[str, Any]:
    """Put a scene on air; return how long its look took, and what else was seen once it was there."""
    eye, style = Eye(obs, scene, looks), STYLES[scene]
    start_s = time.monotonic()
    obs.show_scene(scene)
    with Client(daemon.runtime_dir) as client:
        in_force_s = _until(lambda: client.query().sessions[0].status.settings.style == style) - start_s
    sights = eye.watch_until(style)
    sights += [eye.see() for _ in range(10)]
    first = next(n for n, sight in enumerate(sights) if sight.name == style)
    times_s = [sight.at_s for sight in sights]
    return {
        "in_force_ms": 1000 * in_force_s,
        "visible_ms": 1000 * (sights[first].at_s - start_s),
        "wrong_after": sum(sight.name != style for sight in sights[first:]),
        "black": sum(sight.name == "black" for sight in sights),
        "screenshot_ms": 1000 * float(np.median(np.diff(times_s))),
    }


def _until(holds: Callable[[], bool]) -> float:
    """Return when `holds` did."""
    while not holds():
        time.sleep(0.001)
    return time.monotonic()


def _summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    report: dict[str, Any] = {"changes": len(found), "cores": os.cpu_count()}
    report |= {
        name: _spread([one[name] for one in found]) for name in ("in_force_ms", "visible_ms", "screenshot_ms")
    }
    return report | {name: sum(one[name] for one in found) for name in ("wrong_after", "black")}


def _spread(values: list[float]) -> dict[str, float]:
    spread = {
        "p50": np.percentile(values, 50),
        "p95": np.percentile(values, 95),
        "max": max(values),
    }
    return {name: round(float(value), 1) for name, value in spread.items()}


def _by_hand(obs: Obs, daemon: RunningDaemon, looks: dict[str, Look], changes: int) -> dict[str, Any]:
    """Change styles as a terminal does; return how long each part of the way took."""
    eye = Eye(obs, "Gaming", looks)
    obs.show_scene("Gaming")
    eye.watch_until(STYLES["Gaming"])
    found = []
    for number in range(changes):
        style = list(STYLES.values())[number % 2]
        time.sleep(1.0)
        start_s = time.monotonic()
        with ThreadPoolExecutor(1) as other:
            receipts = other.submit(_receipts, daemon, style)
            sights = eye.watch_until(style)
            accepted_s, painted_s, first_frame_s = receipts.result(10)
        visible_s = next(sight.at_s for sight in sights if sight.name == style)
        found.append(
            {
                "accepted_ms": 1000 * (accepted_s - start_s),
                "painted_ms": 1000 * (painted_s - start_s),
                "first_frame_ms": 1000 * (first_frame_s - start_s),
                "playout_ms": 1000 * (visible_s - first_frame_s),
                "visible_ms": 1000 * (visible_s - start_s),
            }
        )
    stages_ms = daemon.query().sessions[0].status.stages_ms
    return {name: _spread([one[name] for one in found]) for name in found[0]} | {
        "stages_ms": {name: round(value, 1) for name, value in stages_ms.items()}
    }


def _receipts(daemon: RunningDaemon, style: str) -> tuple[float, float, float]:
    """Set a style; return when it was accepted, and when its first chunk was painted and captured."""
    with Client(daemon.runtime_dir) as client:
        accepted = client.set(Change(style=style), "Cam")
        accepted_s = time.monotonic()
        while True:
            message = client.receive_message(10)
            assert message is not None, f"{style} was accepted, and never painted"
            if isinstance(message, Applied) and message.rev == accepted.rev:
                return accepted_s, time.monotonic(), message.pts_ns / 1e9


def _bursts(obs: Obs, daemon: RunningDaemon) -> dict[str, Any]:
    scenes.add_filter(obs, "Cam", "Dream")
    bursts.burst(obs, daemon, 20)
    before_bytes = bursts.memory_bytes(daemon)
    report: dict[str, Any] = {
        "painting": _lagged_percent(obs, lambda: bursts.burst(obs, daemon, BURST)),
        "memory_growth_bytes": bursts.memory_bytes(daemon) - before_bytes,
        "nothing_happens": _lagged_percent(obs, lambda: time.sleep(BURST * bursts.EVERY_S)),
    }
    obs.enable_filter("Cam", False)
    time.sleep(SETTLE_S)
    return report | {"filter_off": _lagged_percent(obs, lambda: bursts.burst(obs, daemon, BURST))}


def _lagged_percent(obs: Obs, work: Callable[[], None]) -> float:
    return round(100 * bursts.lagged_share(obs, work), 2)


def _transition(obs: Obs, daemon: RunningDaemon, looks: dict[str, Look]) -> dict[str, Any]:
    """Change scenes with a transition; return how long it took to see and how far it ever went back, 0..1."""
    first, last = looks[STYLES["Main"]], looks[STYLES["Gaming"]]
    with Client(daemon.runtime_dir) as client:
        client.set(Change(transition_ms=TRANSITION_MS))
    _settled(obs, daemon, "Main")
    way = last - first
    start_s = time.monotonic()
    obs.show_scene("Gaming")
    seen: list[tuple[float, float]] = []
    while time.monotonic() < start_s + TRANSITION_MS / 1000 + SETTLE_S:
        now = look(obs.screenshot("Gaming", 160))
        seen.append((time.monotonic() - start_s, float((now - first) @ way / (way @ way))))
    shares = np.array([share for _, share in seen])
    smooth = np.convolve(shares, np.ones(5) / 5, "valid")
    back = float((np.maximum.accumulate(smooth) - smooth).max())
    from_s = next((at_s for at_s, share in seen if share > 0.1), 0.0)
    to_s = next((at_s for at_s, share in seen if share > 0.9), 0.0)
    return {
        "ms": TRANSITION_MS,
        "seen_10_to_90_ms": round(1000 * (to_s - from_s)),
        "largest_step_back": round(back, 3),
    }


def main() -> None:
    """Parse the arguments, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("out/obs_scenes.json"))
    chosen = parser.parse_args()
    report = json.dumps(measure(chosen.changes), indent=1)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(report + "\n")
    print(report)


if __name__ == "__main__":
    main()
