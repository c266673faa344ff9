"""A model is loaded as planned for its card; without a card, as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from limner.engine.config import ModelConfig
from limner.models import catalogue
from limner.models.plan_bytes import GIB
from limner.models.plan_cards import Card
from limner.models.plan_choice import MemoryPlan, Wishes
from limner.worker import model_plan
from limner.worker.memory import MemoryCaps
from limner.worker.model_plan import NoRoomError, free_memory_bytes, planned
from limner.worker.model_source import ModelSource, find_model


def source(name: str = "wan-1.3b", *, parts: tuple[str, ...] = ("dit", "vae", "taehv")) -> ModelSource:
    entry = catalogue.load().find(name)
    paths: Any = {part: Path(part) for part in parts}
    return ModelSource(name=name, table=entry.engine, origin=entry.source, paths=paths)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that puts a card with so much free memory into this machine."""

    def put(free_gib: float) -> None:
        one = Card(
            index=0,
            name="a card",
            total_bytes=24 * GIB,
            free_bytes=int(free_gib * GIB),
            capability=(8, 6),
        )
        monkeypatch.setattr(model_plan, "card_of", lambda _: one)

    return put


def plan_of(free: Any, free_gib: float, **wishes: Any) -> tuple[MemoryPlan, Mapping[str, Any]]:
    free(free_gib)
    model = planned(source(), "cuda:0", Wishes(**wishes))
    assert isinstance(model.plan, MemoryPlan)
    return model.plan, model.source.table


@pytest.mark.parametrize("free_gib", [5, 6, 8, 12, 24])
def test_the_config_is_the_engines_and_as_planned(card: Any, free_gib: float) -> None:
    plan, table = plan_of(card, free_gib)
    config = ModelConfig.from_table(table)
    choice = plan.choice
    assert (config.dit.window_frames, config.dit.sink_frames) == (choice.window_frames, choice.sink_frames)
    assert config.vae.kind == choice.vae
    assert config.default_size == choice.size
    assert all(w * h <= choice.size[0] * choice.size[1] for w, h in config.sizes)
    assert planned(source(), "cuda", Wishes()).caps == MemoryCaps(
        steps=choice.steps, area_px=choice.size[0] * choice.size[1], chunk_latents=1
    )


def test_taehv_takes_latents_as_the_denoiser_wants_them(card: Any) -> None:
    plan, table = plan_of(card, 24, vae="taehv")
    assert plan.choice.vae == "taehv"
    assert table["vae"] == {"kind": "taehv", "latent_channels": 16, "normalise_encoded": False}


def test_an_autoencoder_that_is_not_here_is_not_chosen(card: Any) -> None:
    card(24)
    only_wan = source(parts=("dit", "vae"))
    with pytest.raises(NoRoomError, match="no autoencoder 'taehv'"):
        planned(only_wan, "cuda", Wishes(vae="taehv"))
    card(7)
    model = planned(only_wan, "cuda", Wishes())
    assert model.plan is not None and model.plan.choice.vae == "wan"


def test_a_plan_that_was_too_much_is_passed_over(card: Any) -> None:
    card(24)
    needed = []
    for step_down in range(3):
        plan = planned(source(), "cuda", Wishes(), step_down).plan
        assert isinstance(plan, MemoryPlan)
        needed.append(plan.needed_bytes)
    assert needed == sorted(set(needed), reverse=True)
    with pytest.raises(NoRoomError, match="every way"):
        planned(source(), "cuda", Wishes(), 1000)


def test_what_does_not_fit_is_refused_with_advice(card: Any) -> None:
    card(2)
    with pytest.raises(NoRoomError, match=r"needs \d\.\d GiB free, a card has 2\.0 of 24\.0.*; close"):
        planned(source(), "cuda", Wishes())
    card(16)
    with pytest.raises(NoRoomError, match="as you want it needs"):
        planned(
            source(), "cuda", Wishes(vae="wan", steps=4, size=(832, 480), weights="bf16", window_frames=6)
        )


def test_what_main_memory_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  9000000 kB\nMemAvailable:    4194304 kB\n")
    assert free_memory_bytes(tmp_path / "meminfo") == 4 * GIB
    assert free_memory_bytes(tmp_path / "nowhere") is None
    monkeypatch.setattr(model_plan, "free_memory_bytes", lambda: 4 * GIB)
    with pytest.raises(NoRoomError, match=r"takes \d+\.\d GiB of main memory .* 4\.0 GiB are free; close"):
        planned(source(), "cpu", Wishes())
    assert planned(source(), "cpu", Wishes(), is_alone=False).plan is None
    assert planned(find_model("pocket"), "cpu", Wishes()).plan is None


def test_on_the_processor_nothing_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_plan, "free_memory_bytes", lambda: None)
    model = planned(source(), "cpu", Wishes())
    assert (model.plan, model.caps) == (None, MemoryCaps())
    assert model.source.table == source().table
    assert "autoencoder in float32: " in model.told and "GiB of main memory" in model.told
    with pytest.raises(NoRoomError, match="leave out the options"):
        planned(source(), "cpu", Wishes(weights="int8"))
    assert planned(find_model("pocket"), "cuda", Wishes()).plan is None, "pocket is small everywhere"
