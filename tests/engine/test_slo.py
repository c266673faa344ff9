"""SLO control: quality gives way in the documented order, and comes back without flapping."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.engine.slo import RECOVERY_S, control, may_wait
from limner.engine.slo_cost import STAGES, Profile, Room, Stage, delay_ms, fair_shares, pressure, slack, use
from limner.engine.slo_plan import Limits, Mode, Plan, ladder, level_of, reductions, sizes_from
from limner.engine.slo_room import rooms
from limner.engine.slo_state import Chunk, Climb, Sample, SloState, begin

SIZES = ((320, 176), (256, 144))
CAMERA = Limits(fps=30, steps=2, least_steps=1, sizes=SIZES)
PROFILE = Profile()
RATES = [5.0, 15.0, 30.0, 60.0]


class Machine:
    """Paints by the plan, at a load; its clock goes on by a chunk's span."""

    def __init__(self, limits: Limits = CAMERA, truth: Profile = PROFILE) -> None:
        self.limits, self.truth = limits, truth
        self.state = begin(limits)
        self.now_s = 0.0
        self.plans: list[Plan] = [self.state.plan]

    def paint(self, seconds: float, load: float, *, room: Room | None = None) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            plan = self.state.plan
            stages = {stage: load * ms for stage, ms in self.truth.stages_ms(plan).items()}
            took_ms = sum(stages.values())
            self.now_s += max(plan.span_ms(self.limits.fps), took_ms) / 1e3
            delay = delay_ms(plan, self.limits, took_ms, room or Room())
            chunk = Chunk(now_s=self.now_s, stages_ms=stages, delay_ms=delay)
            self.state = control(self.state, self.limits, chunk, room or Room())
            if self.state.plan != self.plans[-1]:
                self.plans.append(self.state.plan)


def levels(machine: Machine) -> list[int]:
    return [level_of(plan, ladder(machine.limits)) for plan in machine.plans]


# ---- the ladder


def test_quality_gives_way_in_the_documented_order() -> None:
    limits = replace(CAMERA, mode="latency")
    flat = [plan for ways in ladder(limits) for plan in ways]
    assert [(p.steps, p.size, p.frame_step) for p in flat] == [
        (2, SIZES[0], 1),
        (1, SIZES[0], 1),
        (1, SIZES[1], 1),
        (1, SIZES[1], 2),
        (1, SIZES[1], 3),
        (1, SIZES[1], 4),
    ]


@pytest.mark.parametrize("mode", ["throughput", "latency"])
def test_a_mode_that_the_user_chose_is_kept(mode: Mode) -> None:
    limits = replace(CAMERA, steps=4, mode=mode)
    assert {p.stream_batch for ways in ladder(limits) for p in ways} == {mode == "throughput"}


def test_a_chunk_that_the_user_chose_is_kept_and_long_ones_come_last_otherwise() -> None:
    fixed = ladder(replace(CAMERA, chunk_latents=3, most_chunk=4))
    assert {p.chunk_latents for ways in fixed for p in ways} == {3}
    chosen = ladder(replace(CAMERA, steps=1, most_chunk=3))
    assert [p.chunk_latents for p in chosen[0]] == [1, 2, 3]


def test_without_leave_to_adapt_the_settings_are_all_there_is() -> None:
    (ways,) = ladder(replace(CAMERA, adapt=False, most_chunk=4))
    assert {(p.steps, p.chunk_latents, p.size, p.frame_step) for p in ways} == {(2, 1, SIZES[0], 1)}


def test_what_gives_way_is_said_in_words() -> None:
    plan = Plan(steps=1, stream_batch=False, chunk_latents=1, size=SIZES[1], frame_step=3)
    assert reductions(plan, CAMERA) == "1 of 2 steps, 256×144, 1 of 3 frames"
    assert reductions(ladder(CAMERA)[0][-1], CAMERA) == ""


def test_only_smaller_sizes_of_the_same_shape_are_used() -> None:
    listed = ((320, 192), (320, 176), (256, 144), (192, 320), (64, 32))
    assert sizes_from((320, 176), listed) == ((320, 176), (256, 144))


@pytest.mark.parametrize(
    "wrong",
    [{"fps": 0.0}, {"fps": float("inf")}, {"latency_ms": 0.0}, {"sizes": ()}, {"steps": 1, "least_steps": 2}],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    values: dict[str, object] = {"fps": 30.0, "sizes": SIZES}
    with pytest.raises(ValueError, match=next(iter(wrong if len(wrong) == 1 else ["least_steps"]))):
        Limits(**{**values, **wrong})  # type: ignore[arg-type]


# ---- costs


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


# ---- control


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


def sample(load: float, took_ms: float) -> Sample:
    return Sample(now_s=1.0, load=load, took_ms=took_ms, is_late=False)


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


# ---- several streams


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
