"""How much faster are more ranks, and how soon are blocks where there is time for them?

    python -m tests.benchmarks.pipeline --report docs/measurements/pipeline.json
    python -m tests.benchmarks.pipeline --devices cuda:0 cuda:1 --report pipeline-gpus.json

One stream, flat out, over a model whose time is the denoiser's; one thread a rank, each on a core of its own
(on GPUs: bfloat16, NCCL, and a model as wide as Wan's smaller one). Runs of one and of all ranks take turns,
since others may share the machine; for the same reason the CPU time of the busiest rank is told as well.
Then one rank is slowed to a third of its speed, from the split that was best until then, and later let go
again: there the ranks are paced (each block sleeps as long as a device of a set speed would compute).

Bars: two ranks paint 1.85 times as fast as one; 0.93 of the best split's rate within 5 s of a slow-down, and
of its end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from tests.benchmarks import report
from tests.distributed.rings import PacedStage, Ranks, ranks, tiny_of, weights_of
from tests.engine.streaming import settings_of
from tests.engine.tiny import random_weights

from limner.engine.blocks import RankCost, Split, best_split, split_of
from limner.engine.config import ModelConfig
from limner.engine.overlap import OverlappedStream
from limner.engine.pipeline.lanes import PipelineLanes
from limner.engine.pipeline.stage import Stage

BAR_SCALING = 1.85
BAR_SHARE = 0.93
BAR_S = 5.0
SLOWED = 3.0
FRAMES_PER_CHUNK = 4
SIDE = 192
"""Of the picture, pixels: 144 tokens a latent frame."""
WARM_CHUNKS = 8
PACED_LAYERS = 16
CODING_BLOCKS = 1.5
"""What encoding and decoding take, in blocks."""


def config_of(on_gpu: bool, sink_threshold: float = 0.0) -> ModelConfig:
    """A model whose time is the denoiser's."""
    sizes = (
        {"dim": 1536, "ffn_dim": 8960, "heads": 12} if on_gpu else {"dim": 384, "ffn_dim": 1536, "heads": 6}
    )
    config = tiny_of(
        30 if on_gpu else 32, window_frames=6, sink_frames=2, sink_threshold=sink_threshold, **sizes
    )
    return dataclasses.replace(config, sizes=((SIDE, SIDE),), default_size=(SIDE, SIDE))


class Flow:
    """A stream that is pushed flat out."""

    def __init__(self, made: Ranks, lanes: PipelineLanes, steps: int) -> None:
        self.times_s: list[float] = []
        """When each chunk was painted."""
        width, height = made.engine.config.default_size
        stream = made.engine.open_stream(settings_of(steps=steps, steadiness=0.0), height, width)
        self._stream = OverlappedStream(stream, lanes, lambda: self.times_s.append(time.perf_counter()))
        generator = torch.Generator().manual_seed(5)
        shape = (FRAMES_PER_CHUNK, 3, height, width)
        self._frames_TCHW = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    def run(self, seconds: float) -> None:
        """For so long."""
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s:
            self.push(1)

    def push(self, chunks: int) -> None:
        """So many chunks; waits as long as there is no room."""
        for _ in range(chunks):
            self._stream.push(self._frames_TCHW)
            self._stream.collect()

    def end(self) -> None:
        """Wait for what is on its way."""
        self._stream.drain()

    def fps(self, since_s: float, until_s: float) -> float:
        """Frames a second, from the first to the last chunk that was painted in this time."""
        times = [at for at in self.times_s if since_s <= at <= until_s]
        return FRAMES_PER_CHUNK * (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


@contextlib.contextmanager
def flowing(made: Ranks, steps: int) -> Iterator[Flow]:
    """A stream under way: windows full, and what is to be prepared is."""
    with PipelineLanes(made.engine) as lanes:
        flow = Flow(made, lanes, steps)
        flow.push(WARM_CHUNKS)
        yield flow
        flow.end()


@dataclass(frozen=True)
class Rate:
    """How fast ranks paint, flat out."""

    fps: float
    cpu_ms: float
    """Of the rank that computes the longest, for a chunk: its processor's time, whoever else wants that."""


def rate(made: Ranks, steps: int, seconds: float) -> Rate:
    """Paint for so long."""
    processes = [psutil.Process(), *(psutil.Process(process.pid) for process in made.processes)]
    with flowing(made, steps) as flow:
        began_s, before, painted = time.perf_counter(), [cpu_s(one) for one in processes], len(flow.times_s)
        flow.run(seconds)
        used = [cpu_s(one) - then for one, then in zip(processes, before, strict=True)]
        chunks = len(flow.times_s) - painted
        return Rate(flow.fps(began_s, time.perf_counter()), max(used) / max(chunks, 1) * 1000)


def cpu_s(process: psutil.Process) -> float:
    """Processor time that a process has had."""
    times = process.cpu_times()
    return times.user + times.system


def shares(made: Ranks) -> list[dict[str, Any]]:
    """What each rank did with its time, lately. The bubble is the time without anything to compute."""
    return [
        {
            "rank": times.rank,
            "blocks": len(times.held),
            "compute_ms": round(times.compute_ms, 2),
            "busy": round(times.busy_ms / times.spent_ms, 3),
            "bubble": round(1 - times.busy_ms / times.spent_ms, 3),
        }
        for times in made.engine.watch.newest()
    ]


def transfer_ms(config: ModelConfig, device: str) -> float | None:
    """What copying a packet into the line takes a rank, ms: all that a transfer takes of its own time."""
    if device != "cpu":
        return None
    packet, into = (torch.zeros((SIDE // 16) ** 2 + 7, config.dit.dim) for _ in range(2))
    took = []
    for _ in range(50):
        began_s = time.perf_counter()
        into.copy_(packet)
        took.append(time.perf_counter() - began_s)
    return round(statistics.median(took) * 1000, 4)


def scaling(
    config: ModelConfig, weights: Path, options: Any, split: Split
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rates of one and of all ranks, by steps."""
    size, rows, broken = len(split), [], []
    one: Split = ((0, config.dit.layers),)
    cores = list(range(size)) if options.devices is None else None
    stage = PacedStage if options.paced else Stage
    with (
        ranks(config, weights, one, devices=options.devices, cores=cores, stage=stage) as alone,
        ranks(config, weights, split, devices=options.devices, cores=cores, stage=stage) as together,
    ):
        for steps in options.steps:
            pairs = []
            for _ in range(options.rounds):
                pairs.append((rate(alone, steps, options.seconds), rate(together, steps, options.seconds)))
            ratios = [many.fps / single.fps for single, many in pairs]
            cpu_ratios = [single.cpu_ms / many.cpu_ms for single, many in pairs]
            row = {
                "steps": steps,
                "ranks": size,
                "fps_one": [round(single.fps, 2) for single, _ in pairs],
                "fps_all": [round(many.fps, 2) for _, many in pairs],
                "scaling": round(statistics.median(ratios), 3),
                "cpu_ms_one": [round(single.cpu_ms, 1) for single, _ in pairs],
                "cpu_ms_all": [round(many.cpu_ms, 1) for _, many in pairs],
                "scaling_by_cpu_time": round(statistics.median(cpu_ratios), 3),
                "shares": shares(together),
            }
            rows.append(row)
            print(row)
            if size == 2 and row["scaling"] < BAR_SCALING:
                broken.append(f"{steps} steps: {row['scaling']} times as fast, not {BAR_SCALING}")
    return rows, broken


def slowed(options: Any, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """One rank at a third of its speed, from the wrong split, and back."""
    config = tiny_of(PACED_LAYERS)
    weights, layers, size = weights_of(random_weights(config), folder), PACED_LAYERS, 2
    split = split_of([layers // size] * size)
    costs = [RankCost(1.0)] * (size - 1) + [RankCost(SLOWED)]
    best = best_split(layers, costs)
    out: dict[str, Any] = {"slowed": SLOWED, "best_split": best}
    with (
        ranks(config, weights, split, stage=PacedStage) as made,
        flowing(made, 1) as flow,
    ):
        slow, watch = made.slowness[size - 1], made.engine.watch

        def phase(name: str, slowness: float, balancing: bool, want: Split | None) -> float:
            slow.value, watch.balancing = slowness, balancing
            if want is not None:
                made.engine.rebalance(want)
                flow.run(2.0)
            began_s = time.perf_counter()
            flow.run(BAR_S + options.seconds if balancing else options.seconds)
            after_s = began_s + (BAR_S if balancing else 0.0)
            out[name] = round(flow.fps(after_s, time.perf_counter()), 2)
            out[f"{name}_split"] = watch.mover.split
            print(name, out[name], watch.mover.split)
            return float(out[name])

        phase("fps_wrong", SLOWED, False, split)
        best_fps = phase("fps_best", SLOWED, False, best)
        even_fps = phase("fps_even", 1.0, False, split)
        after = phase("fps_after_slowing", SLOWED, True, None) / best_fps
        back = phase("fps_after_its_end", 1.0, True, None) / even_fps
    out |= {"share_of_best": round(after, 3), "share_of_even": round(back, 3)}
    names = {"slowing": after, "its end": back}
    return out, [f"after {n}: {share:.3f} of the best" for n, share in names.items() if share < BAR_SHARE]


def main(arguments: Sequence[str] | None = None) -> int:
    made = report.parser(__doc__)
    made.add_argument("--devices", nargs="+", help="one a rank; none: the CPU, two ranks")
    made.add_argument("--steps", nargs="+", type=int, default=[1, 2], help="denoising steps")
    made.add_argument("--sink-threshold", type=float, default=0.0, help="of the model; wan-1.3b has 0.2")
    made.add_argument("--rounds", type=int, default=3, help="runs of one and of all ranks, in turns")
    made.add_argument("--seconds", type=float, default=10.0, help="length of a run")
    made.add_argument("--paced", action="store_true", help="ranks of a set speed, as for the slow-down")
    options = report.chosen(made, [*(arguments or sys.argv[1:]), "--threads", "1"])
    config = config_of(options.devices is not None, options.sink_threshold)
    if options.paced:
        config = tiny_of(PACED_LAYERS, sink_frames=2, sink_threshold=options.sink_threshold)
    if options.devices is None:
        os.sched_setaffinity(0, {0})  # Rank 0's, for all threads that begin from here on.
    layers, size = config.dit.layers, len(options.devices or ["cpu"] * 2)
    # The first rank encodes and decodes as well, which is about a block's work here.
    coding = 0.0 if options.paced else CODING_BLOCKS
    split = best_split(layers, [RankCost(1.0, coding), *[RankCost(1.0)] * (size - 1)])
    with tempfile.TemporaryDirectory() as folder:
        weights = weights_of(random_weights(config), Path(folder))
        rows, broken = scaling(config, weights, options, split)
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        heterogeneous, late = slowed(options, Path(folder))
    found = {
        "load": os.getloadavg(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "config": dataclasses.asdict(config.dit),
        "scaling": rows,
        "packet_copy_ms": transfer_ms(config, (options.devices or ["cpu"])[0]),
        "heterogeneous": heterogeneous,
    }
    return report.finish(found, [*broken, *late], options.report)


if __name__ == "__main__":
    sys.exit(main())
