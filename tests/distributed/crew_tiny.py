"""The tiny model on ranks with pretended memory, and with as little of it as a test likes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from tests.distributed.rings import tiny_of
from torch import Tensor

from limner.engine.dit.model import Block, Flow
from limner.engine.pipeline import member
from limner.engine.pipeline.decoders import Decoders
from limner.engine.pipeline.group import Group
from limner.engine.pipeline.part_dit import BlockFiles
from limner.engine.pipeline.part_vae import VaeFiles
from limner.engine.pipeline.stage import Stage
from limner.worker.crew.rank_channel import RankChannel

ENGINE = "tests.distributed.crew_tiny:serve"
FOLDER = "LIMNER_TEST_TINY"
"""Where the weights are, and files `full-RANK` with how many blocks that rank's memory holds."""
LAYERS = 6
LOADS = "loads"
"""A file there: a line whenever another rank is to hold blocks, with its process, when that is asked, and how
many it has to load."""
_kept: dict[str, tuple[BlockFiles, Stage, Decoders]] = {}


class TightStage(Stage):
    """Runs out of memory with more blocks than a file says."""

    rank = 0
    asked = "held"

    def hold(self, block_of: Callable[[int], Block], wanted: range) -> None:
        lacking = sum(layer not in self.layers for layer in wanted)
        with (Path(os.environ[FOLDER]) / LOADS).open("a") as file:
            file.write(f"{os.getpid()} {self.asked} {lacking}\n")
        super().hold(block_of, wanted)

    def forward(self, stream: int, row: int, text: int, frames: int, flow: Flow) -> Tensor:
        limit = Path(os.environ[FOLDER]) / f"full-{self.rank}"
        if limit.exists() and len(self.layers) > int(limit.read_text()):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        return super().forward(stream, row, text, frames, flow)


def serve(channel: RankChannel, group: Group) -> None:
    """Serve one generation; the blocks stay for the next one."""
    files, stage, decoders = parts()
    stage.rank = group.rank
    member.serve(channel, group, files, stage, decoders)


def load(layers: range) -> None:
    """Have these blocks before a generation asks for them."""
    files, stage, _ = parts()
    stage.asked = "ahead"
    stage.hold(files.block, layers)
    stage.asked = "held"


def parts() -> tuple[BlockFiles, TightStage, Decoders]:
    """What this process has for all generations."""
    if not _kept:
        weights, cpu = Path(os.environ[FOLDER]) / "model.safetensors", torch.device("cpu")
        config = tiny_of(LAYERS)
        files = BlockFiles(config, weights, device=cpu, dtype=torch.float32)
        vae = VaeFiles(config, weights, device=cpu, dtype=torch.float32)
        _kept[ENGINE] = files, TightStage(files.dit(is_first=False)), Decoders(vae)
    files, stage, decoders = _kept[ENGINE]
    assert isinstance(stage, TightStage)
    return files, stage, decoders
