"""Where nothing that is allowed keeps up."""

from __future__ import annotations

from dataclasses import replace

from tests.engine.slo_machine import CAMERA, PROFILE, SIZES, Machine, levels, sample

from limner.engine.slo import control
from limner.engine.slo_cost import Room, use
from limner.engine.slo_plan import ladder
from limner.engine.slo_state import Chunk, Climb, begin


def test_where_nothing_fits_the_nearest_plan_is_taken_and_said_so() -> None:
    machine = Machine()
    machine.paint(10, 50.0)
    lost = machine.state
    assert not lost.is_feasible
    assert (lost.plan.steps, lost.plan.frame_step) == (1, 4)
    machine.paint(12, 1.0)
    assert machine.state.is_feasible
    assert levels(machine)[-1] == 0


def test_where_nothing_fits_the_time_of_the_others_is_not_taken() -> None:
    """Whatever it does it is late; with longer chunks and more of the time the others would be, too."""
    crowded = Room(share=1 / 3, others_ms=250, longest_ms=75)
    limits = replace(CAMERA, latency_ms=300, most_chunk=3)
    machine = Machine(limits)
    machine.paint(10, 1.3, room=crowded)
    plan = machine.state.plan
    assert not machine.state.is_feasible
    assert use(plan, limits, 1.3 * PROFILE.chunk_ms(plan)) <= crowded.share
    assert 1.3 * PROFILE.chunk_ms(plan) <= crowded.longest_ms


def test_where_nothing_fits_one_that_is_alone_is_not_later_for_the_sake_of_frames() -> None:
    """Long chunks cost less a frame; but they take nobody's time from him but his own."""
    machine = Machine(replace(CAMERA, most_chunk=3))
    machine.paint(60, 25.0)
    assert machine.state.plan.chunk_latents == 1


def test_where_nothing_fits_what_a_higher_load_took_comes_back() -> None:
    """Late for the others' sake whatever it does, but not at every fourth frame for ever."""
    crowded = Room(share=1 / 2, others_ms=100)
    machine = Machine(replace(CAMERA, latency_ms=200))
    machine.paint(10, 20.0, room=crowded)
    assert machine.state.plan.frame_step == 4
    machine.paint(10, 0.5, room=crowded)
    assert not machine.state.is_feasible
    assert machine.state.plan.frame_step == 1
    assert len(machine.plans) <= 8


def test_where_nothing_fits_losing_some_frames_is_better_than_being_late_with_all() -> None:
    """A neighbour's long chunk is in the way; to paint every second frame would only make all come late."""
    limits = replace(CAMERA, steps=3, least_steps=3, mode="throughput", latency_ms=600, sizes=SIZES[1:])
    held_up = Room(share=1 / 2, others_ms=111, longest_ms=150)
    machine = Machine(limits)
    machine.paint(10, 1.1, room=held_up)
    assert not machine.state.is_feasible
    assert machine.state.plan.frame_step == 1


def test_who_does_not_keep_up_is_not_kept_from_a_better_plan() -> None:
    """Neither by a climb that failed when it did, nor by a slow chunk of the last seconds."""
    flat = [plan for ways in ladder(CAMERA) for plan in ways]
    loads = (1.0, 1.9, 1.0, 1.0, 1.0)
    samples = tuple(replace(sample(load, 60), now_s=10 + 0.3 * i) for i, load in enumerate(loads))
    below = replace(
        begin(CAMERA),
        plan=flat[-1],
        samples=samples,
        is_settling=False,
        is_feasible=False,
        lowered_s=9.0,
        failed=Climb(at_s=8.5, load=0.8, below=flat[-1]),
        retry_s=30.0,
    )
    held_up = Room(others_ms=500)
    chunk = Chunk(now_s=11.5, stages_ms=PROFILE.stages_ms(below.plan), delay_ms=700)
    assert control(below, CAMERA, chunk, held_up).plan != below.plan
