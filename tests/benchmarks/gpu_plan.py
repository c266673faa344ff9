"""What the memory plan predicts for a row, to be held against what was measured."""

from __future__ import annotations

from dataclasses import replace

from tests.benchmarks.gpu_models import entry_of
from tests.benchmarks.gpu_rows import Row

from limner.models.plan_bytes import Choice, total_bytes
from limner.models.plan_model import model_sizes
from limner.models.plan_vae import WanVaeSizes


def predicted_bytes(row: Row) -> int | None:
    """Peak on the card, without a text encoder; None for what is no model of the catalogue."""
    if row.way.model == "tiny":
        return None
    model = model_sizes(entry_of(row.way.model))
    if isinstance(model.vae, WanVaeSizes):
        model = replace(model, vae=replace(model.vae, fewer_products=row.way.fewer_products))
    choice = Choice(
        size=row.size,
        weights=row.way.weights,
        vae=row.way.vae,
        window_frames=model.dit.window_frames,
        sink_frames=model.dit.sink_frames,
        steps=row.steps,
        text="cpu",
    )
    return total_bytes(model, choice)
