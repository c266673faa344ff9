"""What does it give to decode on another rank? A model whose time is the autoencoder's, over two ranks.

    python -m tests.benchmarks.pipeline_decode --report docs/measurements/pipeline_decode.json
    python -m tests.benchmarks.pipeline_decode --devices cuda:0 cuda:1 --report pipeline-decode-gpus.json

One stream, flat out; one thread a rank, each on a core of its own. Decoding is on rank 0, then on rank 1, in
turns and in one run, each time with the blocks where they are best for that. What is best is reckoned from
the stages' times on one device, and so is how much faster it should be. Then rank 0 decodes, and it is left
to itself where decoding goes.

Bar: 0.9 of the gain that was reckoned, by the processor's time of the busiest rank, for others may share the
machine.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks import report
from tests.benchmarks.pipeline import SIDE, WARM_CHUNKS, flowing, rate
from tests.distributed.rings import dtype_on, ranks, tiny_of, weights_of
from tests.engine.streaming import clip, settings_of
from tests.engine.tiny import random_weights

from limner.engine.block_places import Places, best_places
from limner.engine.blocks import RankCost
from limner.engine.config import ModelConfig, VaeConfig
from limner.engine.engine import Engine

BAR = 0.9
LAYERS = 16
MOVES_S = 20.0


def config_of(on_gpu: bool) -> ModelConfig:
    """A model whose time is the autoencoder's."""
    wide = 4 if on_gpu else 1
    vae = VaeConfig(latent_channels=8, fine_width=96 * wide, coarse_width=160 * wide, frame_width=96 * wide)
    config = tiny_of(LAYERS, dim=128 * wide, ffn_dim=384 * wide, heads=4)
    return dataclasses.replace(config, vae=vae, sizes=((SIDE, SIDE),), default_size=(SIDE, SIDE))


def stages_ms(config: ModelConfig, weights: Path, device: str) -> dict[str, float]:
    """What each stage takes for a chunk on one device, with nothing beside it."""
    engine = Engine(config, weights, device=device, dtype=dtype_on(torch.device(device)))
    stream = engine.open_stream(settings_of(steadiness=0.0), SIDE, SIDE)
    painted = [stream.push(chunk) for chunk in clip(4 * WARM_CHUNKS, size=(SIDE, SIDE))]
    times = [one.stage_ms for one in painted[WARM_CHUNKS:] if one is not None]
    return {
        name: statistics.median(getattr(one, name) for one in times)
        for name in ("encode", "noise", "denoise", "decode")
    }


def places_for(times_ms: dict[str, float], decodes: int) -> Places:
    """The best split with decoding there."""

    def cost_of(rank: int, encodes: bool, decodes_too: bool) -> RankCost:
        coding_ms = (times_ms["encode"] + times_ms["noise"]) * encodes + times_ms["decode"] * decodes_too
        return RankCost(times_ms["denoise"] / LAYERS, coding_ms)

    return best_places(LAYERS, 2, cost_of, encoders=[0], decoders=[decodes])


def both(options: Any, config: ModelConfig, weights: Path) -> dict[str, Any]:
    """Rates with decoding on rank 0 and on rank 1, in turns; the blocks go where they are best for it."""
    cores = list(range(2)) if options.devices is None else None
    times_ms = stages_ms(config, weights, (options.devices or ["cpu"])[0])
    best = [places_for(times_ms, rank) for rank in range(2)]
    pairs = []
    with (
        ranks(config, weights, best[0].split, devices=options.devices, cores=cores) as first,
        ranks(config, weights, best[1].split, devices=options.devices, cores=cores, decodes=1) as last,
    ):
        for _ in range(options.rounds):
            pairs.append((rate(first, 1, options.seconds), rate(last, 1, options.seconds)))
            print(pairs[-1])
    return {
        "stages_ms": {name: round(ms, 2) for name, ms in times_ms.items()},
        "splits": [one.split for one in best],
        "reckoned": round(best[0].period_ms / best[1].period_ms, 3),
        "fps_first": [round(one.fps, 2) for one, _ in pairs],
        "fps_last": [round(other.fps, 2) for _, other in pairs],
        "gain": round(statistics.median(other.fps / one.fps for one, other in pairs), 3),
        "cpu_ms_first": [round(one.cpu_ms, 1) for one, _ in pairs],
        "cpu_ms_last": [round(other.cpu_ms, 1) for _, other in pairs],
        "gain_by_cpu_time": round(statistics.median(one.cpu_ms / other.cpu_ms for one, other in pairs), 3),
    }


def left_to_itself(options: Any, config: ModelConfig, weights: Path) -> dict[str, Any]:
    """Decoding begins on rank 0: when does it move, and for how long does no chunk come then?"""
    cores = list(range(2)) if options.devices is None else None
    even = ((0, LAYERS // 2), (LAYERS // 2, LAYERS))
    with ranks(config, weights, even, devices=options.devices, cores=cores) as made, flowing(made, 1) as flow:
        watch, began_s = made.engine.watch, time.perf_counter()
        watch.balancing = watch.places.is_on = True
        while watch.placer.rank == 0 and time.perf_counter() - began_s < MOVES_S:
            flow.push(1)
        moved_s = time.perf_counter()
        flow.run(options.seconds)
        before = [at for at in flow.times_s if began_s < at < moved_s]
        around = [at for at in flow.times_s if moved_s - 1.0 < at < moved_s + 2.0]
        gaps = [b - a for a, b in itertools.pairwise(around)]
        return {
            "decodes": watch.placer.rank,
            "after_s": round(moved_s - began_s, 1),
            "split": watch.mover.split,
            "fps_before": round(flow.fps(before[0], before[-1]), 2),
            "fps_after": round(flow.fps(moved_s + 2.0, time.perf_counter()), 2),
            "longest_gap_ms": round(1000 * max(gaps)),
            "usual_gap_ms": round(1000 * statistics.median(gaps)),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    made = report.parser(__doc__)
    made.add_argument("--devices", nargs=2, help="one a rank; none: the CPU, two ranks")
    made.add_argument("--rounds", type=int, default=3, help="runs of each, in turns")
    made.add_argument("--seconds", type=float, default=8.0, help="length of a run")
    options = report.chosen(made, [*(arguments or sys.argv[1:]), "--threads", "1"])
    config = config_of(options.devices is not None)
    if options.devices is None:
        os.sched_setaffinity(0, {0})  # Rank 0's, for all threads that begin from here on.
    with tempfile.TemporaryDirectory() as folder:
        weights = weights_of(random_weights(config), Path(folder))
        found = both(options, config, weights)
        print(found)
        moved = left_to_itself(options, config, weights)
        print(moved)
    faults = []
    if found["gain_by_cpu_time"] < BAR * found["reckoned"]:
        faults.append(
            f"decoding on rank 1: {found['gain_by_cpu_time']} times as fast, not {found['reckoned']}"
        )
    if moved["decodes"] == 0:
        faults.append(f"decoding is still on rank 0 after {MOVES_S} s")
    all_found = {"load": os.getloadavg(), "torch": torch.__version__, "places": found, "moves": moved}
    return report.finish(all_found, faults, options.report)


if __name__ == "__main__":
    sys.exit(main())
