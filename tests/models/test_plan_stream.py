"""What a whole stream holds between chunks, as predicted: against all tensors that are alive."""

from __future__ import annotations

import dataclasses
import gc
from typing import Any, Literal

import pytest
import torch
from tests.benchmarks.gpu_models import WORD, config_of, random_model
from tests.benchmarks.gpu_rows import Way
from tests.models.live_bytes import LiveBytes

from limner.engine.config import ModelConfig
from limner.engine.engine import Engine
from limner.engine.types import StreamSettings
from limner.models.plan_bytes import Choice, stream_parts
from limner.models.plan_dit import DitSizes
from limner.models.plan_model import ModelSizes
from limner.models.plan_small_vae import TaehvSizes
from limner.models.plan_vae import WanVaeSizes

WIDTH, HEIGHT = 64, 48
CPU = torch.device("cpu")


def sizes_of(config: ModelConfig) -> ModelSizes:
    vae: dict[str, Any] = dataclasses.asdict(config.vae)  # type: ignore[call-overload]
    return ModelSizes(
        name=config.name,
        dit=DitSizes.from_table(dataclasses.asdict(config.dit)),
        vae=TaehvSizes.from_table(vae) if vae["kind"] == "taehv" else WanVaeSizes.from_table(vae),
        has_taehv=vae["kind"] == "taehv",
        text_tokens=1,
        has_umt5=False,
        sizes=((WIDTH, HEIGHT),),
    )


@pytest.mark.parametrize("vae", ["wan", "taehv"])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_stream_holds_what_is_planned(vae: Literal["wan", "taehv"], steps: int) -> None:
    config = config_of(Way(model="tiny", vae=vae))
    engine = Engine(config, random_model(config, CPU, torch.bfloat16), device=CPU, dtype=torch.bfloat16)
    frames = torch.randint(0, 256, (4, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    settings = StreamSettings(prompt=WORD, strength=0.8, steps=steps, stream_batch=False)
    # The autoencoder lays its weights out when its first stream opens.
    engine.open_stream(settings, HEIGHT, WIDTH)
    gc.collect()
    with LiveBytes() as live:
        stream = engine.open_stream(settings, HEIGHT, WIDTH)
        for _ in range(config.dit.window_frames + 1):
            painted = stream.push(frames)
        del painted
        gc.collect()
        held = live.alive
    choice = Choice(
        size=(WIDTH, HEIGHT),
        weights="bf16",
        vae=vae,
        window_frames=config.dit.window_frames,
        sink_frames=config.dit.sink_frames,
        steps=steps,
        text="cpu",
    )
    planned = stream_parts(sizes_of(config), choice)
    assert held == pytest.approx(planned["history"] + planned["autoencoder's memory"], rel=0.05)
    engine.close()
