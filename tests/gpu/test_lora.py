"""LoRAs on CUDA: in and out between two chunks, on the device's queues and through recorded graphs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.engine.streaming import clip, settings_of
from tests.engine.tiny import random_weights, tiny_config
from tests.gpu.device import DEVICE, ON_DEVICE
from torch import Tensor

from limner.engine.device_lanes import DeviceLanes
from limner.engine.engine import Engine
from limner.engine.files import LoraShare
from limner.engine.overlap import OverlappedStream
from limner.engine.types import Painted

pytestmark = ON_DEVICE
HEIGHT, WIDTH = 32, 48
CHUNKS = 30
SWITCHES = {6: ["one"], 14: ["two"], 20: [], 25: ["two", "one"]}
"""By the chunk before which it is made."""
SAME_LEVELS = 0.1
"""Mean difference of painted pixels, 0..255, at which graphs and calls paint the same in float32."""


@pytest.fixture
def shares(tmp_path: Path) -> dict[str, LoraShare]:
    shares = {}
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        tensors: dict[str, Tensor] = {"blocks.0.norm3.diff": torch.randn(32) * 0.2}
        for layer in ("self_attn.q", "self_attn.o", "cross_attn.k", "ffn.0", "ffn.2"):
            tensors[f"blocks.1.{layer}.lora_A.weight"] = torch.randn(8, 32) * 0.3
            tensors[f"blocks.1.{layer}.lora_B.weight"] = torch.randn(32, 8) * 0.3
        save_file(tensors, tmp_path / f"{name}.safetensors")
        shares[name] = LoraShare(path=tmp_path / f"{name}.safetensors")
    return shares


def engine() -> Engine:
    config = tiny_config(kind="static")
    return Engine(config, random_weights(config), device=DEVICE, dtype=torch.float32)


def called(shares: dict[str, LoraShare], chunks: list[Tensor], *, switch: bool = True) -> list[Painted]:
    """One chunk after the other, without graphs."""
    plain = engine()
    stream = plain.open_stream(settings_of(cuts=False), HEIGHT, WIDTH, graphs=False)
    painted = []
    for number, chunk in enumerate(chunks):
        if switch and number in SWITCHES:
            plain.set_loras([shares[name] for name in SWITCHES[number]])
        painted.append(stream.push(chunk))
    return [one for one in painted if one is not None]


def on_lanes(shares: dict[str, LoraShare], chunks: list[Tensor]) -> list[Painted]:
    """Overlapped, with graphs."""
    live = engine()
    prepared = {
        number: live.read_loras([shares[name] for name in names]) for number, names in SWITCHES.items()
    }
    painted: list[Painted] = []
    with DeviceLanes(DEVICE) as lanes:
        stream = OverlappedStream(live.open_stream(settings_of(cuts=False), HEIGHT, WIDTH), lanes)
        for number, chunk in enumerate(chunks):
            if number in SWITCHES:
                lanes.between(lambda n=number: live.use_loras(prepared[n]))  # type: ignore[misc]
            stream.push(chunk)
            painted += stream.collect()
        return painted + stream.flush()


def apart(a: list[Painted], b: list[Painted]) -> float:
    both = zip(a, b, strict=True)
    return max(float((x.frames_TCHW.float() - y.frames_TCHW.float()).abs().mean()) for x, y in both)


def test_switched_while_live_on_the_devices_queues(shares: dict[str, LoraShare]) -> None:
    chunks = clip(CHUNKS)
    expected = called(shares, chunks)
    assert len(expected) == CHUNKS
    assert apart(on_lanes(shares, chunks), expected) < SAME_LEVELS
    assert apart(called(shares, chunks, switch=False), expected) > 4 * SAME_LEVELS, "it does nothing"


@torch.inference_mode()
def test_without_it_everything_is_as_before_to_the_last_bit(shares: dict[str, LoraShare]) -> None:
    live = engine()
    chunks = clip(8)

    def paint() -> list[Tensor]:
        stream = live.open_stream(settings_of(cuts=False), HEIGHT, WIDTH)
        return [out.frames_TCHW for chunk in chunks if (out := stream.push(chunk)) is not None]

    before = paint()
    live.set_loras([shares["one"]])
    with_it = paint()
    live.set_loras([])
    after = paint()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before, with_it, strict=True))
