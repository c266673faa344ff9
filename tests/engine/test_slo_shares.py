"""Several streams on a device, and several ranks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.slo_machine import CAMERA, PROFILE, RATES, SIZES, Machine, sample

from limner.engine.slo import control
from limner.engine.slo_cost import Profile, use
from limner.engine.slo_plan import Limits, ladder
from limner.engine.slo_room import rooms
from limner.engine.slo_state import Chunk, begin


def test_a_stream_in_the_middle_of_others_takes_no_more_than_its_share() -> None:
    states = [begin(CAMERA) for _ in range(2)]
    for room in rooms([(state, CAMERA) for state in states]):
        assert room.share == pytest.approx(1 / 2)
        assert room.others_ms == pytest.approx(PROFILE.chunk_ms(states[0].plan))
        machine = Machine()
        machine.paint(10, 1.0, room=room)
        plan = machine.state.plan
        assert use(plan, CAMERA, PROFILE.chunk_ms(plan)) <= 1 / 2


def test_what_a_slow_stream_leaves_is_the_others() -> None:
    slow = replace(CAMERA, fps=5)
    streams = [(begin(slow), slow), (begin(CAMERA), CAMERA)]
    small, large = rooms(streams)
    assert large.share > 0.75
    assert small.share == pytest.approx(1 / 2), "which it gets when it needs it"


@given(st.lists(st.tuples(st.floats(0.1, 5), st.sampled_from(RATES)), min_size=1, max_size=5))
def test_what_all_may_take_at_most_is_no_more_than_there_is(streams: list[tuple[float, float]]) -> None:
    """A share is what one may take; nobody takes more than the best plan costs, whatever the share."""
    known = [
        (replace(begin(limits), samples=(sample(load, 50),)), limits)
        for load, fps in streams
        for limits in (replace(CAMERA, fps=fps),)
    ]
    taken = 0.0
    for (state, limits), room in zip(known, rooms(known), strict=True):
        best = state.plan
        taken += min(room.share, use(best, limits, state.load * state.profile.chunk_ms(best)))
        assert room.share >= 1 / len(known) - 1e-9
    assert taken <= 1 + 1e-9


def test_a_stream_whose_load_has_risen_is_not_held_to_what_it_asked_for_before() -> None:
    light = Limits(fps=10, sizes=SIZES)
    known = replace(begin(light), samples=tuple(sample(0.3, 20) for _ in range(3)))
    slowed = replace(begin(CAMERA), samples=tuple(sample(2.0, 200) for _ in range(3)))
    first, *_ = rooms([(known, light), (slowed, CAMERA), (slowed, CAMERA)])
    assert first.share >= 1 / 3


def test_ranks_of_a_pipeline_paint_more_and_no_sooner() -> None:
    """A chunk goes through all of them, and meanwhile others do."""
    one, three = Profile(overlaps=True), Profile(overlaps=True, abreast=3)
    plan = ladder(CAMERA)[0][0]
    assert three.chunk_ms(plan) == one.chunk_ms(plan)
    assert three.busy_share(plan) < one.busy_share(plan)
    # The autoencoder's lane stays one.
    stages = three.stages_ms(plan)
    assert three.busy_share(plan) >= 1 - stages["denoise"] / sum(stages.values())
    heavy = replace(CAMERA, steps=4, least_steps=1, latency_ms=2000, mode="latency", sizes=SIZES[:1])
    states = [begin(heavy, profile) for profile in (one, three)]
    for number in range(12):
        for index, state in enumerate(states):
            stages = {name: 1.2 * ms for name, ms in one.stages_ms(state.plan).items()}
            chunk = Chunk(now_s=0.1333 * number, stages_ms=stages, delay_ms=300)
            states[index] = control(state, heavy, chunk)
    assert states[0].plan.steps < states[1].plan.steps == 4
