"""For how long does the picture stand still while large blocks move?

    python -m tests.benchmarks.pipeline_moves

Two ranks on the processor, a model of 32 blocks of 20 MB, with a long window, so that streams remember 25 MB
in each of them as well. The ranks do not compute but sleep for as long, since the cores are few and shared:
what is late here is late because of the move. Half of the blocks go from rank to rank and back while a stream
paints flat out: all at once, as they would if a move were not cut into steps, and in steps as they do, by
turns. Told: the longest time from chunk to chunk.

Bar: in steps, the longest gap is at most half of that.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tests.benchmarks.pipeline import Flow, flowing
from tests.distributed.rings import Ranks, ranks, tiny_of, weights_of
from tests.engine.tiny import random_weights
from torch import Tensor

from limner.engine.blocks import Split
from limner.engine.config import ModelConfig
from limner.engine.dit.model import Flow as Forward
from limner.engine.pipeline import moving
from limner.engine.pipeline.stage import Stage

LAYERS = 32
MOST, LEAST = ((0, 24), (24, LAYERS)), ((0, 8), (8, LAYERS))
SIDE = 128
STEPS = 4
TIMES = 4
BAR = 0.5
PATIENCE_S = 120.0
BLOCK_S = 0.001


class SleepingStage(Stage):
    """Remembers as much as ever, and computes nothing."""

    def forward(self, stream: int, row: int, text: int, frames: int, flow: Forward) -> Tensor:
        """As `Stage.forward`."""
        cache = self.caches[stream]
        cache.begin(rows=range(row, row + 1), frames=frames)
        time.sleep(BLOCK_S * len(self.layers))
        cache.commit()
        return flow.x_RND


def config_of() -> ModelConfig:
    """Of wide blocks and few tokens: what moves is large, what is computed is little."""
    config = tiny_of(LAYERS, dim=512, ffn_dim=3072, heads=8, window_frames=24, sink_frames=2)
    return dataclasses.replace(config, sizes=((SIDE, SIDE),), default_size=(SIDE, SIDE))


@contextmanager
def step_of(size_bytes: int) -> Iterator[None]:
    """Moves are cut into steps of this size."""
    before, moving.STEP_BYTES = moving.STEP_BYTES, size_bytes
    try:
        yield
    finally:
        moving.STEP_BYTES = before


def longest_gap_ms(made: Ranks, flow: Flow, split: Split) -> float:
    """The longest time from chunk to chunk, from before a move until after it."""
    began = len(flow.times_s)
    flow.push(4)
    made.engine.rebalance(split)
    mover, end_s = made.engine.watch.mover, time.monotonic() + PATIENCE_S
    while mover.is_moving or mover.split != split:
        assert time.monotonic() < end_s, f"still {mover.split}"
        flow.push(1)
    flow.push(4)
    return max(gaps_ms(flow.times_s[began:]))


def gaps_ms(times_s: list[float]) -> list[float]:
    """From each to the next."""
    return [(after - before) * 1000 for before, after in itertools.pairwise(times_s)]


def main() -> int:
    """Measure, tell, and return whether the bar was reached."""
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {"at once": [], "in steps": []}
    with tempfile.TemporaryDirectory() as folder:
        config = config_of()
        weights = weights_of(random_weights(config), Path(folder))
        with ranks(config, weights, LEAST, stage=SleepingStage) as made, flowing(made, STEPS) as flow:
            flow.push(24)  # The window is full.
            still = gaps_ms(flow.times_s[-12:])
            for _ in range(TIMES):
                for name, size_bytes in (("at once", 2**60), ("in steps", moving.STEP_BYTES)):
                    with step_of(size_bytes):
                        found[name] += [longest_gap_ms(made, flow, split) for split in (MOST, LEAST)]
    usual = statistics.median(still)
    print(f"from chunk to chunk without moves: {usual:.0f} ms in the median, {max(still):.0f} at the most")
    for name, gaps in found.items():
        print(
            f"{name}: longest gap {statistics.median(gaps):.0f} ms in the median, {max(gaps):.0f} at the most"
        )
    ratio = statistics.median(found["in steps"]) / statistics.median(found["at once"])
    print(f"ratio {ratio:.2f} (bar {BAR})")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
