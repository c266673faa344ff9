"""The memory plan against what CUDA really takes: within 5 %, weights, caches, graphs and work spaces."""

from __future__ import annotations

import gc
from typing import Literal

import pytest
import torch
from tests.benchmarks.gpu_measure import Rig
from tests.benchmarks.gpu_models import PROMPT, engine_of, entry_of
from tests.benchmarks.gpu_rows import Way
from tests.gpu.device import DEVICE, ON_CUDA

from limner.engine.types import StreamSettings
from limner.models.plan_bytes import CUDA_BYTES, GIB, Choice, parts_of, total_bytes
from limner.models.plan_model import model_sizes
from limner.worker.model_plan import card_of

pytestmark = ON_CUDA
CHUNKS = 16
"""Enough to fill the window and to record all graphs."""


@pytest.mark.parametrize(("vae", "weights"), [("wan", "bf16"), ("taehv", "bf16"), ("taehv", "fp8")])
@pytest.mark.parametrize(("size", "steps"), [((512, 512), 1), ((832, 480), 2)])
def test_the_peak_is_as_predicted(
    vae: Literal["wan", "taehv"], weights: Literal["bf16", "fp8"], size: tuple[int, int], steps: int
) -> None:
    if weights == "fp8" and torch.cuda.get_device_capability(DEVICE) < (8, 9):
        pytest.skip("needs a card with fp8")
    model = model_sizes(entry_of("wan-1.3b"))
    choice = Choice(
        size=size,
        weights=weights,
        vae=vae,
        window_frames=model.dit.window_frames,
        sink_frames=model.dit.sink_frames,
        steps=steps,
        text="cpu",
    )
    predicted = total_bytes(model, choice) - CUDA_BYTES
    if card_of(str(DEVICE)).free_bytes < 1.2 * predicted:
        pytest.skip(f"needs {1.2 * predicted / GIB:.1f} GiB free")
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved(DEVICE)
    engine = engine_of(Way(model="wan-1.3b", vae=vae, weights=weights), DEVICE, torch.bfloat16)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(DEVICE)
    with Rig(engine, size, graphs=True) as rig:
        stream = rig.open(StreamSettings(prompt=PROMPT, strength=0.8, steps=steps))
        rig.run(stream, CHUNKS, fps=None, most_s=120.0)
        torch.cuda.synchronize(DEVICE)
    peak = torch.cuda.max_memory_reserved(DEVICE) - before
    planned = {part.name: f"{part.size_bytes / GIB:.2f}" for part in parts_of(model, choice)}
    assert peak == pytest.approx(predicted, rel=0.05), f"{peak / GIB:.2f} GiB taken; planned: {planned}"
    engine.close()


def test_a_card_is_as_nvidia_smi_says() -> None:
    from limner.models.plan_cards import cards

    mine = card_of(str(DEVICE))
    found = [card for card in cards().cards if card.name == mine.name]
    if not found:
        pytest.skip("nvidia-smi does not see this card")
    assert found[0].capability == mine.capability
    assert found[0].total_bytes == pytest.approx(mine.total_bytes, rel=0.05)
