"""Frames of two and three ranks are those of one process, bit by bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.distributed.rings import Ranks, ranks, weights_of
from tests.engine.streaming import clip, frames_of, painted, stream_of
from tests.engine.tiny import random_weights, tiny_config

from limner.engine.config import ModelConfig
from limner.engine.engine import Engine


def config_of(layers: int = 4) -> ModelConfig:
    config = tiny_config(kind="fresh")
    return dataclasses.replace(config, dit=dataclasses.replace(config.dit, layers=layers))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = config_of()
    return weights_of(config, random_weights(config), tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def alone(weights: Path) -> Engine:
    return Engine(config_of(), weights, dtype=torch.float32)


@pytest.fixture(scope="module")
def two(weights: Path) -> Iterator[Ranks]:
    with ranks(config_of(), weights, ((0, 2), (2, 4))) as made:
        yield made


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_two_ranks_give_the_frames_of_one(alone: Engine, two: Ranks, steps: int) -> None:
    chunks = clip(9)
    expected = painted(stream_of(alone, steps=steps, stream_batch=False), chunks)
    got = painted(stream_of(two.engine, steps=steps), chunks)
    assert torch.equal(frames_of(got), frames_of(expected))
