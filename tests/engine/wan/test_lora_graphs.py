"""LoRAs and recorded graphs: a switch shows in what is replayed; nothing is recorded anew while ranks fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.engine.test_replayed import engines
from tests.engine.tiny import tiny_config
from tests.support.tape import TapeRecorder
from torch import Tensor

from limner.engine.engine import Engine
from limner.engine.files import LoraShare
from limner.engine.stream import Stream
from limner.engine.types import StreamSettings

ROUND = 10
"""Chunks in which every phase of the window comes often enough to be recorded."""


@pytest.fixture
def lora_of(tmp_path: Path) -> Callable[[int, int], LoraShare]:
    """Writes a LoRA of a rank for all layers of a block, with a difference of a norm."""

    def lora_of(rank: int, seed: int) -> LoraShare:
        torch.manual_seed(seed)
        tensors: dict[str, Tensor] = {"blocks.1.norm3.diff": torch.randn(32) * 0.2}
        for layer in ("self_attn.q", "self_attn.v", "cross_attn.k", "cross_attn.o", "ffn.0", "ffn.2"):
            tensors[f"blocks.1.{layer}.lora_A.weight"] = torch.randn(rank, 32) * 0.2
            tensors[f"blocks.1.{layer}.lora_B.weight"] = torch.randn(32, rank) * 0.2
        path = tmp_path / f"{rank}-{seed}.safetensors"
        save_file(tensors, path)
        return LoraShare(path=path)

    return lora_of


class Twins:
    """A stream that calls and one that replays, on the same source."""

    def __init__(self) -> None:
        plain, replaying, self._recorders = engines(tiny_config())
        self.engines: tuple[Engine, Engine] = (plain, replaying)
        settings = StreamSettings(prompt="oil neon warm", cuts=False)
        self._streams: tuple[Stream, ...] = tuple(e.open_stream(settings, 32, 32) for e in self.engines)
        self._random = torch.Generator().manual_seed(0)

    def set_loras(self, *shares: LoraShare) -> None:
        for engine in self.engines:
            engine.set_loras(shares)

    def paint(self) -> Tensor:
        """A round of chunks, the same frames by both; those of the last one."""
        frames = torch.empty(0)
        for _ in range(ROUND):
            chunk = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=self._random)
            plain, replayed = (stream.push(chunk) for stream in self._streams)
            assert plain is not None and replayed is not None
            assert torch.equal(plain.frames_TCHW, replayed.frames_TCHW)
            frames = plain.frames_TCHW
        return frames

    @property
    def recordings(self) -> int:
        recorders: list[TapeRecorder] = self._recorders
        return sum(recorder.recordings for recorder in recorders)


def test_replayed_frames_follow_every_switch(lora_of: Callable[[int, int], LoraShare]) -> None:
    twins = Twins()
    one, two, wide = lora_of(8, 1), lora_of(16, 2), lora_of(40, 3)
    for shares in ((), (one,), (two,), (one, two), (), (wide,)):
        twins.set_loras(*shares)
        twins.paint()


def test_what_fits_is_not_recorded_anew(lora_of: Callable[[int, int], LoraShare]) -> None:
    twins = Twins()
    one, two, wide = lora_of(8, 1), lora_of(16, 2), lora_of(40, 3)
    twins.paint()
    base = twins.recordings
    assert base > 0, "nothing is replayed"
    twins.set_loras(one)
    twins.paint()
    with_lora = twins.recordings
    assert with_lora > base
    for shares in ((two,), (), (one,), ()):
        twins.set_loras(*shares)
        twins.paint()
        assert twins.recordings == with_lora
    twins.set_loras(wide)
    twins.paint()
    assert twins.recordings > with_lora
