"""A load that rises: within a change, within long chunks, just after a climb."""

from __future__ import annotations

from dataclasses import replace

from tests.engine.slo_machine import CAMERA, PROFILE, Machine, sample

from limner.engine.slo import control
from limner.engine.slo_cost import pressure
from limner.engine.slo_plan import ladder, level_of
from limner.engine.slo_state import Chunk, begin


def test_a_load_that_rises_during_the_change_is_met_by_the_next_chunk() -> None:
    """Though the first chunk by a plan is none to learn from: in long chunks every one of them counts."""
    machine = Machine(replace(CAMERA, mode="latency"))
    machine.paint(5, 1.0)
    machine.paint(0.01, 2.0)
    machine.paint(0.01, 2.0)
    assert machine.state.is_settling
    lowered = machine.state.plan
    machine.paint(0.01, 4.5)
    machine.paint(0.01, 4.5)
    assert level_of(machine.state.plan, ladder(machine.limits)) > level_of(lowered, ladder(machine.limits))


def test_chunks_of_many_seconds_lower_the_quality_too() -> None:
    machine = Machine()
    machine.paint(60, 100.0)
    assert machine.state.plan.frame_step == 4


def test_a_load_that_rises_within_chunks_is_taken_as_high_as_it_was_for_most_of_the_time() -> None:
    rising = (sample(1.6, 140), sample(2.4, 207), sample(4.6, 397))
    assert replace(begin(CAMERA), samples=rising).load == 2.4
    assert replace(begin(CAMERA), samples=rising).risen_load == 4.6
    one_slow = (sample(4.6, 300), sample(1.6, 110), sample(1.6, 110))
    assert replace(begin(CAMERA), samples=one_slow).load == 1.6


def test_quality_goes_down_as_far_as_a_rising_load_asks_at_once() -> None:
    machine = Machine()
    machine.paint(5, 1.0)
    for load in (2.0, 4.0):
        machine.paint(0.01, load)
    plan = machine.state.plan
    assert pressure(plan, CAMERA, 4.0 * PROFILE.chunk_ms(plan)) <= 1


def test_a_load_that_is_over_is_no_reason() -> None:
    """Two slow chunks, but they were painted by a plan that was left for them; the next one is quick."""
    state = replace(begin(CAMERA), samples=tuple(sample(4.0, 300) for _ in range(3)), is_settling=False)
    stages = PROFILE.stages_ms(state.plan)
    quick = Chunk(now_s=1.1, stages_ms=stages, delay_ms=200)
    assert control(state, CAMERA, quick).plan == state.plan
    slow = Chunk(now_s=1.1, stages_ms={stage: 4 * ms for stage, ms in stages.items()}, delay_ms=200)
    assert control(state, CAMERA, slow).plan != state.plan


def test_a_load_that_rises_just_after_a_climb_costs_one_chunk_more_and_no_second_search() -> None:
    machine = Machine(replace(CAMERA, steps=4, mode="latency", latency_ms=1000))
    machine.paint(5, 1.0)
    machine.paint(3, 6.0)
    low = machine.state.plan
    for _ in range(50):
        if machine.state.plan == low:
            machine.paint(0.01, 1.0)
    assert machine.state.climb is not None
    for _ in range(2):
        machine.paint(0.01, 9.0)
    assert machine.state.plan == low, "the climb is undone"
    machine.paint(0.01, 9.0)
    plan = machine.state.plan
    assert pressure(plan, machine.limits, 9.0 * PROFILE.chunk_ms(plan)) <= 1
    assert machine.state.failed is None, "it was no wrong forecast, and nothing to wait for"
