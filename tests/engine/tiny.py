"""A tiny model with random weights, for tests of the engine."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from limner.engine.config import (
    DiTConfig,
    ModelConfig,
    NoiseConfig,
    ScheduleConfig,
    TextConfig,
    VaeConfig,
)
from limner.engine.engine import Engine
from limner.engine.model import Model


def tiny_config(
    *, kind: str = "static", chunk: int = 1, schedule: ScheduleConfig | None = None
) -> ModelConfig:
    return ModelConfig(
        name="tiny",
        vae=VaeConfig(latent_channels=8, fine_width=8, coarse_width=8, frame_width=8),
        text=TextConfig(dim=8, length=4, words=("oil", "neon", "warm")),
        dit=DiTConfig(
            latent_channels=8,
            dim=32,
            ffn_dim=32,
            heads=2,
            layers=2,
            text_dim=8,
            freq_dim=16,
            window_frames=4,
            sink_frames=1,
        ),
        schedule=schedule or ScheduleConfig(),
        noise=NoiseConfig(kind="static" if kind == "static" else "fresh"),
        sizes=((32, 32),),
        default_size=(48, 32),
        latent_frames_per_chunk=chunk,
    )


def with_threshold(config: ModelConfig, threshold: float) -> ModelConfig:
    dit = dataclasses.replace(config.dit, sink_threshold=threshold)
    return dataclasses.replace(config, dit=dit)


def random_weights(config: ModelConfig) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = Model(config)
    for name, parameter in model.named_parameters():
        # Of the autoencoder those that begin at zero: its memory, too, is to matter in tests.
        if name.startswith("dit.") or not parameter.any():
            torch.nn.init.normal_(parameter, std=0.15)
    return model.state_dict()


def tiny_engine(
    *,
    kind: str = "static",
    chunk: int = 1,
    schedule: ScheduleConfig | None = None,
    sink_threshold: float = 0.0,
) -> Engine:
    config = with_threshold(tiny_config(kind=kind, chunk=chunk, schedule=schedule), sink_threshold)
    return Engine(config, random_weights(config), dtype=torch.float32)
