"""What a plan costs, and how that is learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.slo_machine import CAMERA, PROFILE, SIZES

from limner.engine.slo_cost import STAGES, Profile, fair_shares, slack
from limner.engine.slo_plan import Plan, ladder


def test_the_default_profile_is_pocket_on_two_quiet_cores() -> None:
    one = Plan(steps=1, stream_batch=False, chunk_latents=1, size=(320, 176))
    two = replace(one, steps=2, stream_batch=True)
    assert PROFILE.stages_ms(one) == {
        "encode": 8.8,
        "noise": 1.5,
        "denoise": 29,
        "decode": 16,
        "other": 2,
    }
    assert PROFILE.stages_ms(two)["denoise"] == 38
    assert PROFILE.stages_ms(replace(two, stream_batch=False))["denoise"] == 58


def test_learning_keeps_what_the_plan_costs_and_finds_the_ratios() -> None:
    plan = ladder(CAMERA)[0][0]
    truth = Profile(encode=8, decode=1, forward=10, latent=4.5)
    profile = PROFILE
    for _ in range(200):
        profile = profile.learn(plan, truth.stages_ms(plan), rate=0.1)
    assert profile.chunk_ms(plan) == pytest.approx(PROFILE.chunk_ms(plan))
    found, true = profile.stages_ms(plan), truth.stages_ms(plan)
    load = truth.chunk_ms(plan) / profile.chunk_ms(plan)
    assert {s: found[s] * load for s in STAGES} == pytest.approx(true, rel=1e-3)


def test_a_stage_that_takes_no_time_for_hours_does_no_harm() -> None:
    plan, profile = ladder(CAMERA)[0][0], PROFILE
    for _ in range(30_000):
        profile = profile.learn(plan, {**PROFILE.stages_ms(plan), "other": 0, "noise": 0}, rate=0.05)
    assert all(ms > 0 for ms in profile.stages_ms(plan).values())
    for _ in range(300):
        profile = profile.learn(plan, PROFILE.stages_ms(plan), rate=0.05)
    assert profile.stages_ms(plan)["noise"] == pytest.approx(1.5, rel=0.05)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=6))
def test_shares_are_fair(demands: list[float]) -> None:
    shares = fair_shares(demands)
    assert sum(shares) == pytest.approx(1)
    equal = 1 / len(demands)
    for demand, share in zip(demands, shares, strict=True):
        assert share >= min(demand, equal) - 1e-9
        # Who gets less than it asks for gets no less than any other.
        assert share >= demand - 1e-9 or share == pytest.approx(max(shares))


def test_a_hiccup_may_wait_as_long_as_the_limit_allows() -> None:
    plan = Plan(steps=1, stream_batch=False, chunk_latents=1, size=SIZES[0])
    assert slack(plan, CAMERA, 55) == 8
    assert slack(plan, replace(CAMERA, latency_ms=200), 55) == 1
    assert slack(plan, replace(CAMERA, most_waiting=6), 55) == 2
