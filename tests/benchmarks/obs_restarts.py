"""OBS and the daemon restarted ten times each, in any order: how long until they are in step again.

    .venv/bin/python -m tests.benchmarks.obs_restarts [--rounds 10] [--engine pocket]

Needs what installer/test.sh sets up. Each round restarts both: one after the other, or
both at once, either first, by a drawing of lots that is the same each time. After each start the picture must
be painted in the look of the scene, and while one of them is away the other must say so; else this ends with
what there was instead. Seconds run from the start of a process (OBS: from when its websocket answers).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.end_to_end.harness import clips, scenes
from tests.end_to_end.harness.builds import CACHE, built
from tests.end_to_end.harness.cameras import Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.restarts import ROUNDS, RULES, Pair
from tests.support.daemon import private_runtime_dir

SEED = 6


def measure(rounds: int, engine: str) -> dict[str, Any]:
    """Run everything and return the report."""
    bikes = clips.raw_frames(clips.clip("bikes"), CACHE / "clips" / "bikes.yuv")
    camera = Camera(name="Cam", raw_file=bikes, limner={"start_daemon": False, "style": "sepia"})
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory() as plugins, private_runtime_dir() as folder:
        obs = Obs(built(Path(plugins)), (camera,), runtime_dir=folder / "run")
        pair = Pair(obs, camera, scenes.start_ruled(obs, RULES, engine=engine, threads=2), engine, threads=2)
        with obs:
            pair.in_step()
            seconds = _restarts(pair, rounds)
        assert pair.daemon.stop() == 0
        left = obs.leftovers()
    return {
        "command": " ".join(["python -m tests.benchmarks.obs_restarts", *sys.argv[1:]]),
        "engine": engine,
        "rounds": rounds,
        "in_step_after_s": {what: _summary(found) for what, found in seconds.items()},
        "left_behind": bool(left),
        "took_s": round(time.monotonic() - begin_s, 1),
    }


def _restarts(pair: Pair, rounds: int) -> dict[str, list[float]]:
    lots, seconds = random.Random(SEED), defaultdict[str, list[float]](list)
    for number in range(rounds):
        order = lots.choice(ROUNDS)
        found = pair.restart(order)
        print(f"{number + 1}. {order}: {found}", file=sys.stderr, flush=True)
        for what, value in found.items():
            seconds[what].append(value)
    return seconds


def _summary(seconds: list[float]) -> dict[str, float]:
    return {
        "times": len(seconds),
        "median": round(sorted(seconds)[len(seconds) // 2], 2),
        "most": round(max(seconds), 2),
    }


def main() -> None:
    """Parse the arguments, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--engine", default="pocket")
    parser.add_argument("--out", type=Path, default=Path("out/obs_restarts.json"))
    chosen = parser.parse_args()
    report = json.dumps(measure(chosen.rounds, chosen.engine), indent=1)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(report + "\n")
    print(report)


if __name__ == "__main__":
    main()
