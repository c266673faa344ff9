"""Settings that change while a stream is painted, and whatever else may come."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.engine.slo_machine import CAMERA, SIZES, Machine

from limner.engine.slo import control
from limner.engine.slo_cost import Room, Stage
from limner.engine.slo_plan import Limits, ladder, level_of
from limner.engine.slo_state import Chunk, SloState, begin


def test_a_wish_is_granted_at_once() -> None:
    machine = Machine()
    machine.paint(5, 1.0)
    more = replace(CAMERA, steps=3)
    state = control(machine.state, more)
    assert state.plan.steps == 3
    fewer = replace(CAMERA, steps=1)
    assert control(state, fewer).plan.steps == 1


def test_a_wish_that_the_load_does_not_allow_is_granted_as_far_as_it_goes() -> None:
    machine = Machine()
    machine.paint(5, 1.0)
    machine.paint(5, 3.0)
    state = control(machine.state, replace(CAMERA, steps=4))
    assert state.plan.steps == 1


def test_what_was_late_before_a_wish_does_not_count_against_it() -> None:
    machine = Machine()
    machine.paint(5, 1.0)
    machine.paint(0.4, 6.0)
    wished = control(machine.state, replace(CAMERA, steps=1))
    assert wished.is_settling
    assert wished.changed_s == machine.state.samples[-1].now_s


WISHES = [
    CAMERA,
    replace(CAMERA, steps=4, least_steps=3, most_chunk=3),
    replace(CAMERA, steps=1, mode="throughput", latency_ms=100),
    replace(CAMERA, adapt=False),
    replace(CAMERA, fps=240, chunk_latents=2, sizes=SIZES[1:]),
]
TIMES = st.floats(0, 1e6)


@given(st.lists(st.tuples(st.sampled_from(WISHES), TIMES, TIMES, st.booleans()), max_size=60))
def test_whatever_is_measured_the_plan_is_an_allowed_one(
    story: list[tuple[Limits, float, float, bool]],
) -> None:
    state, now_s = begin(CAMERA), 0.0
    for limits, took_ms, delay, staged in story:
        now_s += took_ms / 1e3 + 1e-3
        stages: dict[Stage, float] = {"denoise" if staged else "other": took_ms}
        chunk = Chunk(now_s=now_s, stages_ms=stages, delay_ms=delay)
        state = control(state, limits, chunk, Room(share=0.5, others_ms=30, longest_ms=75))
        assert level_of(state.plan, ladder(limits)) >= 0
        assert all(0 < ms < float("inf") for ms in state.profile.stages_ms(state.plan).values())
        state = control(state, limits)


def test_it_is_a_pure_function() -> None:
    def run() -> SloState:
        machine = Machine()
        for load in (1.0, 4.0, 1.0, 2.0):
            machine.paint(6, load)
        return machine.state

    assert run() == run()
