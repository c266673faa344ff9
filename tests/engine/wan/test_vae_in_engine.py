"""Whole streams with Wan's autoencoders in a tiny engine."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.engine.streaming import clip, frames_of, numbers_of, painted, settings_of, stream_of
from tests.engine.tiny import tiny_config
from tests.engine.wan.vaes import enlivened

from limner.engine.config import ModelConfig
from limner.engine.engine import Engine
from limner.engine.model import Model
from limner.engine.wan.taehv import TaehvConfig
from limner.engine.wan.vae import WanVaeConfig

MEAN, STD = (0.0,) * 8, (1.0,) * 8
WAN = WanVaeConfig(latent_channels=8, base_dim=4, latents_mean=MEAN, latents_std=STD)
TAEHV = TaehvConfig(
    latent_channels=8, encoder_width=6, decoder_widths=(8, 8, 8, 8), latents_mean=MEAN, latents_std=STD
)


@pytest.fixture(scope="module", params=[WAN, TAEHV], ids=["wan", "taehv"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return engine_with(dataclasses.replace(tiny_config(), vae=request.param))


def engine_with(config: ModelConfig) -> Engine:
    model = Model(config)
    enlivened(model)
    return Engine(config, model.state_dict(), dtype=torch.float32)


@pytest.mark.parametrize("steps", [1, 3])
def test_each_chunk_is_painted_once_from_the_first_on(engine: Engine, steps: int) -> None:
    results = painted(stream_of(engine, steps=steps), clip(6))
    assert numbers_of(results) == list(range(6))
    frames = frames_of(results)
    assert frames.shape == (24, 3, 32, 48)
    assert frames.float().std() > 1


def test_a_stream_goes_on_elsewhere_bit_by_bit(engine: Engine) -> None:
    for at in (0, 3):
        stream, copy, chunks = stream_of(engine, steps=2), stream_of(engine, steps=2), clip(at + 4)
        for chunk in chunks[:at]:
            stream.push(chunk)
        copy.push(clip(1, seed=9)[0])
        copy.restore(stream.state())
        assert torch.equal(frames_of(painted(stream, chunks[at:])), frames_of(painted(copy, chunks[at:])))


def test_a_reset_stream_is_a_new_one(engine: Engine) -> None:
    stream, chunks = stream_of(engine), clip(4)
    first = frames_of(painted(stream, chunks))
    stream.reset()
    assert torch.equal(frames_of(painted(stream, chunks)), first)


def test_the_working_size_may_change_while_live(engine: Engine) -> None:
    stream, chunks = stream_of(engine), clip(6)
    results = [stream.push(chunk) for chunk in chunks[:3]]
    stream.update(settings_of(size=(32, 32)))
    results += [stream.push(chunk) for chunk in chunks[3:]] + [stream.flush()]
    frames = frames_of(result for result in results if result is not None)
    assert frames.shape == (24, 3, 32, 48)


def test_two_latent_frames_a_chunk_will_do() -> None:
    config = dataclasses.replace(tiny_config(chunk=2), vae=WAN)
    frames = frames_of(painted(stream_of(engine_with(config)), clip(3, frames=8)))
    assert frames.shape == (24, 3, 32, 48)


@pytest.mark.parametrize("kind", ["wan", "taehv"])
def test_a_config_chooses_it_by_its_kind(kind: str) -> None:
    table = {
        "name": "tiny",
        "vae": {"kind": kind},
        "text": {"dim": 8, "length": 4, "words": ["oil"]},
        "dit": {"latent_channels": 16, "dim": 32, "ffn_dim": 32, "heads": 2, "layers": 1, "text_dim": 8},
    }
    config = ModelConfig.from_table(table)
    assert config.vae.kind == kind
    with torch.device("meta"):
        assert type(Model(config).vae).__name__ == {"wan": "WanVae", "taehv": "Taehv"}[kind]
