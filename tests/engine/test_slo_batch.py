"""How many streams share a forward, what that saves by measurement, and what of it admission counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limner.engine.slo import FITS
from limner.engine.slo_admit import Asking, admit
from limner.engine.slo_batch import are_in_time, batch_of, delay_ms, use_of
from limner.engine.slo_cost import Profile
from limner.engine.slo_kinds import most_of_a_kind, together_of
from limner.engine.slo_learn import AGAIN_S, FALLS_S, TRIAL_S, Learned, decided, noted, own_ms, refused
from limner.engine.slo_plan import Limits, Plan

SIZE = (320, 176)
LIMITS = Limits(fps=30, sizes=(SIZE,), adapt=False, mode="latency", latency_ms=900)
PLAN = Plan(steps=1, stream_batch=False, chunk_latents=1, size=SIZE)
# A forward of 29 ms, of which 20 are reading weights.
CAMERA = Asking(limits=LIMITS, profile=Profile(saved=20.0))
UNMEASURED = Asking(limits=LIMITS, profile=Profile())
ALONE_MS = UNMEASURED.profile.stages_ms(PLAN)["denoise"]


def three(one: Asking = CAMERA) -> list[tuple[Asking, Plan]]:
    return [(one, PLAN)] * 3


def test_streams_share_a_forward_only_where_they_must() -> None:
    assert batch_of(three()[:2], most=4) == 1
    quick = three(replace(CAMERA, load=0.85))
    assert use_of(quick, 1) > FITS
    assert use_of(quick, 2) <= FITS
    assert batch_of(quick, most=4) == 2
    # Where nothing is enough, what takes least.
    assert batch_of(three(), most=4) == 3


def test_what_was_not_measured_is_no_reason_to_share() -> None:
    assert use_of(three(UNMEASURED), 4) == use_of(three(UNMEASURED), 1)
    assert batch_of(three(UNMEASURED), most=4) == 1


def test_a_batch_that_breaks_a_delay_is_not_made() -> None:
    hasty = three(replace(CAMERA, limits=replace(LIMITS, latency_ms=290)))
    assert delay_ms(hasty, 0, 2) > 290
    assert not are_in_time(hasty, 2)
    assert batch_of(hasty, most=4) == 1


def test_only_alike_streams_share_a_forward() -> None:
    other = replace(PLAN, steps=2)
    assert batch_of([(CAMERA, PLAN), (CAMERA, other), (CAMERA, replace(PLAN, steps=3))], most=4) == 1
    # Two of three are alike: they may.
    mixed = [(CAMERA, PLAN), (CAMERA, other), (CAMERA, PLAN)]
    assert use_of(mixed, 2) < use_of(mixed, 1)
    assert most_of_a_kind([plan for _, plan in mixed]) == 2


def test_use_never_grows_with_the_batch() -> None:
    uses = [use_of([(CAMERA, PLAN)] * 8, k) for k in range(1, 9)]
    assert uses == sorted(uses, reverse=True)


def test_a_stream_shares_as_often_as_the_others_have_chunks() -> None:
    slow = replace(LIMITS, fps=15)
    assert together_of([(LIMITS, PLAN), (LIMITS, PLAN)], 4) == [2, 2]
    assert together_of([(LIMITS, PLAN)] * 3, 2) == [2, 2, 2]
    # One and a half streams' chunks in one stream's forwards.
    assert together_of([(LIMITS, PLAN), (slow, PLAN)], 4) == [1.5, 1.5]
    assert together_of([(LIMITS, PLAN), (LIMITS, replace(PLAN, steps=2))], 4) == [1, 1]


def test_a_batch_takes_no_less_than_one_of_it() -> None:
    greedy = replace(CAMERA, profile=Profile(saved=1000.0))
    shared = replace(greedy.profile, together=4.0).stages_ms(PLAN)["denoise"]
    assert shared == pytest.approx(ALONE_MS / 4)


# ---- learned


def learned_of(part: float, *, together: int = 2, most: int = 4) -> Learned:
    """What is known when a part of a shared forward took this share of one alone."""
    known = Learned(most=most)
    for at in range(5):
        known = noted(known, PLAN, denoise_ms=50.0, together=1, now_s=at / 10)
    for at in range(5):
        known = noted(known, PLAN, denoise_ms=50 * part * together, together=together, now_s=1 + at / 10)
    return known


@pytest.mark.parametrize("together", [2, 3, 4])
def test_what_a_forward_saves_is_learned_from_its_parts(together: int) -> None:
    part = 1 - 0.6 * (1 - 1 / together)
    known = learned_of(part, together=together)
    assert known.share == pytest.approx(0.6)
    assert known.pays
    assert known.saved_ms(UNMEASURED) == pytest.approx(0.6 * ALONE_MS)
    # And turned back: the machine is as fast as it was.
    shared_ms = 50 * part * together
    assert own_ms(known, PLAN, denoise_ms=shared_ms, together=together, now_s=2) == pytest.approx(50)


@pytest.mark.parametrize("part", [0.97, 1.0, 1.3])
def test_what_saves_next_to_nothing_does_not_pay(part: float) -> None:
    known = learned_of(part)
    assert not known.pays
    assert known.saved_ms(UNMEASURED) == 0


def test_old_times_are_no_measure() -> None:
    known = noted(Learned(most=4), PLAN, denoise_ms=50, together=1, now_s=0)
    for at in range(9):
        known = noted(known, PLAN, denoise_ms=60, together=2, now_s=10 + at)
    assert known.share is None


# ---- decided


def busy(known: Learned, now_s: float, *, one: Asking = UNMEASURED, streams: int = 3) -> Learned:
    return decided(known, [(one, PLAN)] * streams, [PLAN] * streams, now_s)


def seen_alone(now_s: float) -> Learned:
    known = Learned(most=4)
    for _ in range(3):
        known = noted(known, PLAN, denoise_ms=ALONE_MS, together=1, now_s=now_s)
    return known


def test_where_all_keep_up_nothing_is_tried() -> None:
    assert busy(seen_alone(0), 0.1, streams=2).together == 1


def test_where_they_do_not_sharing_is_tried_and_kept_when_it_pays() -> None:
    known = busy(seen_alone(0), 0.1)
    assert known.together == 3
    assert not known.pays
    for at in range(5):
        known = noted(known, PLAN, denoise_ms=0.5 * 3 * ALONE_MS, together=3, now_s=0.2 + at / 10)
    assert known.pays
    assert busy(known, 1.0).together > 1


def test_where_it_does_not_pay_it_ends_and_is_tried_again_later() -> None:
    known = busy(seen_alone(0), 0.1)
    for at in range(5):
        known = noted(known, PLAN, denoise_ms=3 * ALONE_MS, together=3, now_s=0.2 + at / 10)
    known = busy(known, 1.0)
    assert known.together == 1
    again = seen_alone(1 + AGAIN_S)
    known = replace(known, alone=again.alone)
    assert busy(known, AGAIN_S - 1).together == 1
    assert busy(known, 1.1 + AGAIN_S).together == 3


def test_a_trial_that_comes_to_nothing_ends() -> None:
    known = busy(seen_alone(0), 0.1)
    assert busy(known, TRIAL_S).together == 3
    assert busy(known, 0.2 + TRIAL_S).together == 1


def test_no_trial_where_somebody_could_come_too_late() -> None:
    hasty = replace(UNMEASURED, limits=replace(LIMITS, latency_ms=300))
    assert busy(seen_alone(0), 0.1, one=hasty).together == 1


def test_one_that_was_refused_is_a_reason_to_try() -> None:
    known = refused(seen_alone(0), 0.05)
    assert busy(known, 0.1, streams=2).together == 2


def test_one_stream_is_always_alone() -> None:
    assert busy(learned_of(0.5), 2.0, streams=1).together == 1


def test_fewer_share_only_when_fewer_have_done_for_a_while() -> None:
    known = busy(learned_of(0.5), 2.0)
    assert known.together > 1
    known = busy(known, 2.1, streams=2)
    assert known.together > 1
    assert busy(known, 2.2 + FALLS_S, streams=2).together == 1


# ---- admitted


def test_admission_counts_what_was_measured_and_no_more() -> None:
    light = replace(LIMITS, fps=25)
    measured, guessed = replace(CAMERA, limits=light), replace(UNMEASURED, limits=light)
    assert admit([guessed] * 2, guessed, most_together=4) is not None
    assert admit([measured] * 2, measured, most_together=1) is not None
    assert admit([measured] * 2, measured, most_together=4) is None


def test_who_could_only_be_let_in_too_late_is_refused() -> None:
    hasty = replace(CAMERA, limits=replace(LIMITS, fps=25, latency_ms=300))
    assert admit([hasty] * 2, hasty, most_together=4) is not None
