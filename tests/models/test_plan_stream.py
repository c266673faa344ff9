"""What a whole stream holds between chunks, as predicted: against all tensors that are alive."""

from __future__ import annotations

import dataclasses
import gc
from typing import Any, Literal

import pytest
import torch
from tests.benchmarks.gpu_models import WORD, config_of, random_model
from tests.benchmarks.gpu_rows import Way
from tests.support.live_bytes import LiveBytes

from limner.engine.config import ModelConfig
from limner.engine.engine import Engine
from limner.engine.types import StreamSettings
from limner.models.plan_dit import DitSizes
from limner.models.plan_model import ModelSizes
from limner.models.plan_processor import processor_parts
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


@pytest.mark.parametrize("kind", ["wan", "taehv"])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_stream_holds_what_is_planned(kind: Literal["wan", "taehv"], steps: int) -> None:
    config = config_of(Way(model="tiny", vae=kind))
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
    parts = processor_parts(sizes_of(config), number_bytes=2, steps=steps, size=(WIDTH, HEIGHT))
    planned = {part.name: part.size_bytes for part in parts}
    assert held == pytest.approx(planned["history"] + planned["autoencoder's memory"], rel=0.05)
    vae: Any = stream.model.vae
    past = [*vae.encoder_past(HEIGHT, WIDTH), *vae.decoder_past(HEIGHT, WIDTH)]
    assert planned["autoencoder's memory"] == sum(buffer.nbytes for buffer in past)
    assert planned["autoencoder"] == sum(tensor.nbytes for tensor in (*vae.parameters(), *vae.buffers()))
    assert planned["denoiser"] == sum(tensor.nbytes for tensor in stream.model.dit.parameters())
    engine.close()
