"""The half of each autoencoder that decodes: as good as the whole, and movable with what it remembers."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.distributed.rings import tiny_of, weights_of
from tests.engine.wan.test_vae_in_engine import TAEHV
from tests.engine.wan.vaes import SMALL
from torch import Tensor, nn

from limner.engine.config import ModelConfig
from limner.engine.model import Model
from limner.engine.pipeline import decode_lane
from limner.engine.pipeline.decode_lane import DecodeLane
from limner.engine.pipeline.decoders import Decoders, moving_layout
from limner.engine.pipeline.part_vae import VaeFiles

SIZE = (4, 6)
STREAM = 7
SIZED = [(STREAM, *SIZE)]


def config_with(vae: Any) -> ModelConfig:
    config = tiny_of(1)
    channels = config.vae.latent_channels if vae is None else vae.latent_channels
    dit = dataclasses.replace(config.dit, latent_channels=channels)
    return config if vae is None else dataclasses.replace(config, vae=vae, dit=dit)


@pytest.fixture(params=[None, SMALL, TAEHV], ids=["pocket", "wan", "taehv"])
def model(request: pytest.FixtureRequest) -> Model:
    torch.manual_seed(3)
    model = Model(config_with(request.param))
    for parameter in model.get_submodule("vae").parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)  # What is remembered matters.
    return model.eval().requires_grad_(False)


@pytest.fixture
def files(model: Model, tmp_path: Path) -> VaeFiles:
    weights = weights_of(model.state_dict(), tmp_path)
    return VaeFiles(model.config, weights, device=torch.device("cpu"), dtype=torch.float32)


def latents(config: ModelConfig, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    shape = (1, config.vae.latent_channels, *SIZE)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def test_half_of_it_decodes_as_the_whole_does(model: Model, files: VaeFiles) -> None:
    decoders = Decoders(files)
    decoders.hold()
    whole = model.vae.decoder_stream(SIZE[0] * 8, SIZE[1] * 8)
    for chunk in latents(model.config, 4):
        assert torch.equal(decoders.push(STREAM, chunk, begins=False), whole.push(chunk))


def test_the_other_half_is_not_in_memory(model: Model, files: VaeFiles) -> None:
    made: Any = files.decoder()
    assert all(tensor.is_meta for tensor in made.encoder.parameters())
    assert not any(tensor.is_meta for tensor in made.decoder.parameters())
    vae: Any = model.vae
    files.drop_decoder(vae)
    assert all(tensor.is_meta for tensor in vae.decoder.parameters())
    frames = torch.randint(0, 256, (4, 3, SIZE[0] * 8, SIZE[1] * 8), dtype=torch.uint8)
    assert vae.encoder_stream(SIZE[0] * 8, SIZE[1] * 8).push(frames).isfinite().all()


@pytest.mark.parametrize("seen", [0, 3])
def test_another_one_goes_on_where_it_was(model: Model, files: VaeFiles, seen: int) -> None:
    here, there = Decoders(files), Decoders(files)
    here.hold()
    first, rest = latents(model.config, 6)[:seen], latents(model.config, 6)[seen:]
    for chunk in first or rest[:1]:
        here.push(STREAM, chunk, begins=False)
    if not first:
        here.reset(STREAM)
    packet_B = torch.zeros(moving_layout(files, SIZED).size_bytes, dtype=torch.uint8)
    here.pack(SIZED, packet_B)
    there.unpack(SIZED, packet_B)
    for chunk in rest:
        assert torch.equal(there.push(STREAM, chunk, begins=False), here.push(STREAM, chunk, begins=False))


def test_a_lane_that_does_not_get_on_is_noticed(files: VaeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_lane, "STUCK_S", 0.05)
    faults: list[BaseException] = []
    lane, held, fault = DecodeLane(Decoders(files), faults.append), threading.Event(), ValueError("no such")

    def fail() -> None:
        raise fault

    def hang() -> None:
        lane.clock()
        held.wait()

    for _ in range(20):
        lane.do(lane.clock)
    lane.do(fail)
    lane.do(hang)
    deadline = time.monotonic() + 10.0

    def is_stuck() -> bool:
        return lane.is_stuck

    while not is_stuck():
        assert time.monotonic() < deadline, "it hangs, and nobody knows"
        time.sleep(0.01)
    held.set()
    lane.close()
    assert not is_stuck()
    assert faults == [fault], "and went on after it"


def test_a_decoder_that_is_about_to_go_is_loaded_anew(files: VaeFiles) -> None:
    """It comes back at once, before the lane has handed it over."""
    decoders, begun, go = Decoders(files), threading.Event(), threading.Event()
    decoders.hold()
    lane = DecodeLane(decoders, lambda _: None)
    try:

        def hand_over() -> None:
            begun.set()
            go.wait(10)
            decoders.let_go()

        lane.do(hand_over)
        assert begun.wait(10)
        prepared = lane.prepare([SIZE])
        time.sleep(0.05)  # Else it might only not have begun.
        assert not prepared.done()
        go.set()
        prepared.result(10)
        assert decoders.is_held
    finally:
        go.set()
        lane.close()
