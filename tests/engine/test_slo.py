"""SLO control: quality goes down in time, and comes back without flapping."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from tests.engine.slo_machine import CAMERA, PROFILE, SIZES, Machine, levels, sample

from limner.engine.slo import RECOVERY_S, control, may_wait
from limner.engine.slo_cost import Profile, Room, Stage, pressure
from limner.engine.slo_plan import Plan, ladder, level_of
from limner.engine.slo_state import Chunk, begin


def test_a_machine_that_keeps_up_keeps_the_best_plan() -> None:
    machine = Machine()
    machine.paint(60, 1.0)
    assert machine.plans == [ladder(CAMERA)[0][0]]


def test_quality_goes_down_within_four_chunks_and_the_new_plan_fits() -> None:
    machine = Machine()
    machine.paint(5, 1.0)
    machine.paint(0.1, 2.6)
    for _ in range(3):
        machine.paint(0.01, 2.6)
    plan = machine.state.plan
    assert plan != machine.plans[0]
    assert pressure(plan, CAMERA, 2.6 * PROFILE.chunk_ms(plan)) <= 1
    assert machine.state.is_feasible


def test_one_slow_chunk_is_no_reason() -> None:
    machine = Machine()
    for _ in range(20):
        machine.paint(1, 1.0)
        machine.paint(0.01, 8.0)
    assert len(machine.plans) == 1


def test_the_first_chunk_by_a_plan_pays_for_the_change_and_is_no_reason() -> None:
    machine = Machine()
    machine.paint(5, 1.0)
    machine.paint(3, 2.6)
    lowered = machine.state.plan
    assert lowered != machine.plans[0]
    wished = replace(CAMERA, steps=3, least_steps=1)
    machine.limits, machine.state = wished, control(machine.state, wished)
    machine.paint(0.01, 9.0)
    assert machine.state.plan == lowered
    machine.paint(0.5, 2.6)
    assert machine.state.plan == lowered


def test_nothing_is_learned_from_the_first_chunk_by_a_plan() -> None:
    state = begin(CAMERA)
    slow = {stage: 5 * ms for stage, ms in PROFILE.stages_ms(state.plan).items()} | {"denoise": 900.0}
    first = control(state, CAMERA, Chunk(now_s=1.0, stages_ms=slow, delay_ms=900))
    assert first.profile == state.profile
    second = control(first, CAMERA, Chunk(now_s=1.1, stages_ms=PROFILE.stages_ms(state.plan), delay_ms=900))
    assert second.plan == state.plan, "late once, not twice"
    assert second.lasting_load() == pytest.approx(1)


def test_after_a_pause_one_slow_chunk_is_no_reason() -> None:
    """The machine has other things in its caches by then, and none of what was measured is of now."""
    machine = Machine()
    machine.paint(5, 1.0)
    machine.now_s += 60
    machine.paint(0.01, 8.0)
    machine.paint(5, 1.0)
    assert len(machine.plans) == 1


def test_within_a_level_the_least_delay_that_keeps_up_is_chosen() -> None:
    limits = replace(CAMERA, least_steps=2, sizes=SIZES[:1])
    machine = Machine(limits)
    machine.paint(5, 1.0)
    machine.paint(3, 1.8)
    machine.paint(10, 1.0)
    # Both would do, then only one forward for both steps keeps up.
    assert [plan.stream_batch for plan in machine.plans] == [False, True, False]


def test_it_comes_back_one_level_at_a_time_and_within_ten_seconds() -> None:
    machine = Machine(replace(CAMERA, steps=4, latency_ms=1000))
    machine.paint(5, 1.0)
    machine.paint(15, 6.0)
    bottom = levels(machine)[-1]
    assert bottom >= 4
    down = len(machine.plans)
    machine.paint(RECOVERY_S, 1.0)
    assert levels(machine)[-1] == 0
    climbed = [bottom, *levels(machine)[down:]]
    assert all(before - after in (0, 1) for before, after in pairwise(climbed))


def test_frames_wait_where_time_is_enough_though_the_others_are_in_the_way() -> None:
    state = replace(begin(CAMERA), is_feasible=False)
    assert may_wait(state, CAMERA) > 1
    crowded = replace(state, samples=(sample(1.2, 104),))
    assert may_wait(crowded, CAMERA, Room(share=0.5)) == 1
    assert may_wait(crowded, CAMERA) > 1


def test_a_steady_load_between_two_levels_does_not_flap() -> None:
    for load in (1.5, 1.7, 1.9, 2.1, 2.3, 2.5, 2.9, 3.3):
        machine = Machine()
        machine.paint(120, load)
        assert len(machine.plans) <= 3, load


def test_a_forecast_that_is_wrong_is_tried_ever_less_often() -> None:
    # In truth a step more costs far more than the profile says.
    class Dear(Profile):
        def stages_ms(self, plan: Plan) -> dict[Stage, float]:
            stages = super().stages_ms(plan)
            return stages if plan.steps == 1 else {**stages, "denoise": 4 * stages["denoise"]}

    machine = Machine(replace(CAMERA, mode="latency"), Dear())
    machine.paint(200, 1.0)
    tries = levels(machine).count(0) - 1
    assert 1 <= tries <= 10
    assert levels(machine)[-1] == 1
    assert max(levels(machine)[3:]) == 1, "a wrong forecast costs no more than what it was about"


def test_late_frames_count_even_where_the_forecast_is_good() -> None:
    state, now_s = begin(CAMERA), 0.0
    stages = PROFILE.stages_ms(state.plan)
    for _ in range(6):
        now_s += 0.133
        state = control(state, CAMERA, Chunk(now_s=now_s, stages_ms=stages, delay_ms=900))
    assert level_of(state.plan, ladder(CAMERA)) > 0 or state.plan.stream_batch
