"""What fits is chosen, more memory is never worse, wishes are kept, and what does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from limner.models.catalogue import load
from limner.models.plan_best import best_plan
from limner.models.plan_bytes import GIB, UMT5_BYTES, Choice, parts_of, total_bytes
from limner.models.plan_cards import Card
from limner.models.plan_choice import (
    RESERVE_BYTES,
    MemoryPlan,
    Refusal,
    Wishes,
    choices,
    choose,
    lower,
)
from limner.models.plan_model import ModelSizes, model_sizes
from limner.models.plan_words import breakdown, changes, sentence

MODELS = {entry.name: model_sizes(entry) for entry in load()}
SMALL, LARGE = MODELS["wan-1.3b"], MODELS["wan-14b"]
BOTH = pytest.mark.parametrize("model", [SMALL, LARGE], ids=lambda model: model.name)


def card(free_gib: float, total_gib: float = 0, capability: tuple[int, int] = (8, 9)) -> Card:
    return Card(
        index=0,
        name="a card",
        total_bytes=int((total_gib or free_gib) * GIB),
        free_bytes=int(free_gib * GIB),
        capability=capability,
    )


def planned(model: ModelSizes, free_gib: float, **wishes: Any) -> MemoryPlan:
    plan = choose(model, card(free_gib), Wishes(**wishes))
    assert isinstance(plan, MemoryPlan), plan
    return plan


@BOTH
@pytest.mark.parametrize("capability", [(8, 6), (9, 0)])
def test_more_memory_never_gives_a_worse_plan(model: ModelSizes, capability: tuple[int, int]) -> None:
    ranks = {choice: rank for rank, choice in enumerate(choices(model, card(1, 0, capability), Wishes()))}
    last = len(ranks)
    for tenth in range(10, 1000, 3):
        plan = choose(model, card(tenth / 10, 0, capability))
        rank = ranks[plan.choice] if isinstance(plan, MemoryPlan) else len(ranks)
        assert rank <= last
        last = rank
    assert last == 0


@BOTH
def test_a_plan_fits_into_what_is_free_less_the_reserve(model: ModelSizes) -> None:
    for gib in range(4, 100):
        plan = choose(model, card(gib))
        if isinstance(plan, MemoryPlan):
            assert plan.needed_bytes <= gib * GIB - RESERVE_BYTES == plan.free_bytes
            assert plan.needed_bytes == sum(part.size_bytes for part in parts_of(model, plan.choice))


def test_what_is_given_up_comes_in_the_documented_order() -> None:
    walk = list(choices(SMALL, card(80), Wishes()))
    best = walk[0]
    assert best == Choice(
        size=(832, 480), weights="bf16", vae="wan", window_frames=6, sink_frames=3, steps=4, text="gpu"
    )

    def first_without(**kept: Any) -> int:
        (name, value), *_ = kept.items()
        return next(rank for rank, choice in enumerate(walk) if getattr(choice, name) != value)

    order = [
        first_without(text="gpu"),
        first_without(steps=4),
        first_without(window_frames=6),
        first_without(weights="bf16"),
        first_without(vae="wan"),
        next(rank for rank, choice in enumerate(walk) if choice.steps == 1),
        next(rank for rank, choice in enumerate(walk) if choice.window_frames == 4),
        first_without(size=(832, 480)),
    ]
    assert order == sorted(order) and len(set(order)) == len(order)
    assert len(set(walk)) == len(walk)


@pytest.mark.parametrize(
    "wish",
    [
        {"size": (512, 288)},
        {"weights": "int8"},
        {"weights": "bf16"},
        {"vae": "taehv"},
        {"vae": "wan"},
        {"window_frames": 5},
        {"steps": 1},
        {"text": "cpu"},
        {"streams": 2},
    ],
)
@pytest.mark.parametrize("gib", [8, 16, 80])
def test_wishes_are_kept_or_refused(wish: dict[str, Any], gib: int) -> None:
    plan = choose(SMALL, card(gib), Wishes(**wish))
    if isinstance(plan, MemoryPlan):
        (name, value), *_ = wish.items()
        assert getattr(plan.choice, name) == value
    else:
        assert plan.needed_bytes > gib * GIB


def test_what_no_memory_helps_against_is_refused_in_words() -> None:
    def words(wishes: Wishes, capability: tuple[int, int] = (8, 6), model: ModelSizes = SMALL) -> str:
        no = choose(model, card(80, 80, capability), wishes)
        assert isinstance(no, Refusal)
        assert no.needed_bytes == 0
        return f"{no.text}; {no.advice}"

    assert "fp8" in words(Wishes(weights="fp8")) and "int8" in words(Wishes(weights="fp8"))
    assert "too old" in words(Wishes(), (6, 1))
    assert "no autoencoder 'wan'" in words(Wishes(vae="wan"), model=MODELS["wan-1.3b-taehv"])


def test_a_card_that_is_too_small_is_told_how_much_is_missing() -> None:
    no = choose(SMALL, card(2.5, 8))
    assert isinstance(no, Refusal)
    assert f"needs {no.needed_bytes / GIB:.1f} GiB free, a card has 2.5 of 8.0" in no.text
    assert "game" in no.advice and "pocket" in no.advice
    least = no.needed_bytes / GIB
    assert isinstance(choose(SMALL, card(least - 0.001)), Refusal)
    assert isinstance(choose(SMALL, card(least + 0.001)), MemoryPlan)
    small = choose(LARGE, card(8, 8))
    assert isinstance(small, Refusal) and "game" not in small.advice


def test_stepping_down_takes_less_each_time_and_ends() -> None:
    for live in (False, True):
        plan: MemoryPlan | None = planned(SMALL, 80)
        taken = []
        while plan is not None:
            taken.append(plan.needed_bytes)
            below = lower(plan, live=live)
            if below is not None:
                assert changes(plan.choice, below.choice)
                if live:
                    assert (below.choice.weights, below.choice.vae) == ("bf16", "wan")
                    assert below.choice.window_frames == 6
            plan = below
        assert taken == sorted(set(taken), reverse=True)
        assert len(taken) > 3
    assert taken[0] - taken[1] > UMT5_BYTES, "the text encoder goes first"


def test_stepping_down_keeps_the_wishes() -> None:
    below = lower(planned(SMALL, 80, steps=2, vae="wan", size=(832, 480)))
    while below is not None:
        assert (below.choice.steps, below.choice.vae, below.choice.size) == (2, "wan", (832, 480))
        below = lower(below)


def test_words() -> None:
    plan = planned(SMALL, 24)
    assert sentence(plan).startswith("832×480, up to 4 steps, bf16 weights, Wan's autoencoder, a window of 6")
    assert sentence(plan).endswith("of 24.0 GiB free")
    assert len(breakdown(plan)) == len(plan.parts)
    below = replace(plan.choice, steps=2, text="gpu")
    assert changes(plan.choice, below) == "up to 2 steps instead of up to 4 steps, text encoder on the GPU"


def test_what_is_recorded_has_memory_of_its_own() -> None:
    """Which nothing else can have; and each new scene begins with calls that are not recorded."""
    named = {part.name: part.size_bytes for part in planned(SMALL, 24).parts}
    assert named["recorded work"] == named["denoiser at work"] + named["autoencoder at work"]


def test_sessions_share_the_weights_but_not_the_history() -> None:
    one = planned(SMALL, 24).choice
    two = replace(one, streams=2)
    named = {part.name: part.size_bytes for part in parts_of(SMALL, one)}
    doubled = {part.name: part.size_bytes for part in parts_of(SMALL, two)}
    assert doubled["denoiser"] == named["denoiser"]
    assert doubled["history"] == 2 * named["history"]
    assert total_bytes(SMALL, two) < 2 * total_bytes(SMALL, one)


@pytest.mark.parametrize(
    ("gib", "capability", "best"),
    [
        (80, (9, 0), "wan-14b"),
        (80, (8, 0), "wan-1.3b"),
        (48, (9, 0), "wan-14b"),
        (24, (12, 0), "wan-1.3b"),
        (16, (8, 9), "wan-1.3b"),
        (8, (8, 9), "wan-1.3b"),
        (2, (8, 9), None),
        (24, (6, 1), None),
    ],
)
def test_the_model_that_suits_a_card(gib: int, capability: tuple[int, int], best: str | None) -> None:
    for models in (MODELS.values(), reversed(MODELS.values())):
        plan = best_plan([model for model in models if "taehv" not in model.name], card(gib, 0, capability))
        assert (plan.model.name if plan else None) == best
