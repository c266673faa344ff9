"""One more stream on a device: whether it fits, what would, and who comes first where there is too little."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.engine.slo_admit import RATES, Asking, admit, least_plan
from limner.engine.slo_cost import Profile, fair_shares
from limner.engine.slo_plan import Limits
from limner.engine.slo_room import BEHIND_SHARE, shares_by_turn

SIZES = ((320, 176), (256, 144), (192, 112))
CAMERA = Asking(limits=Limits(fps=30, sizes=SIZES[:1], adapt=False, mode="latency"), profile=Profile())
DEMANDS = st.lists(st.floats(0.01, 2.0), min_size=1, max_size=6)


def asking(load: float = 1.0, **limits: Any) -> Asking:
    return replace(CAMERA, limits=replace(CAMERA.limits, **limits), load=load)


def test_the_first_stream_is_never_refused() -> None:
    assert admit([], asking(load=50.0)) is None


def test_two_fit_and_a_third_is_told_what_would() -> None:
    assert admit([CAMERA], CAMERA) is None
    refused = admit([CAMERA, CAMERA], CAMERA, sizes=SIZES)
    assert refused is not None
    assert refused.sentence == (
        "A third stream does not fit: all 3 would take 136 % of this machine; it would if all had 192×112 or"
        " 20 fps, or when another one ends"
    )


OFFERED: dict[str, tuple[list[Asking], Asking]] = {
    "fps": ([CAMERA], asking(steps=4, least_steps=4)),
    "size": ([CAMERA, asking(fps=10.0)], asking(fps=36.0)),
    "steps": ([CAMERA], asking(steps=4, least_steps=4)),
}


@pytest.mark.parametrize("what", OFFERED)
def test_what_is_offered_fits_and_a_little_more_does_not(what: str) -> None:
    running, newcomer = OFFERED[what]
    refused = admit(running, newcomer, sizes=SIZES)
    assert refused is not None
    fps, size, steps = refused.offer.fps, refused.offer.size, refused.offer.steps
    good: dict[str, Any]
    bad: dict[str, Any]
    if what == "fps":
        assert fps is not None
        good, bad = {"fps": float(fps)}, {"fps": float(RATES[RATES.index(fps) - 1])}
    elif what == "size":
        assert size is not None
        good, bad = {"sizes": (size,)}, {"sizes": (SIZES[SIZES.index(size) - 1],)}
    else:
        assert steps is not None
        good, bad = ({"steps": n, "least_steps": n} for n in (steps, steps + 1))
    assert admit(running, replace(newcomer, limits=replace(newcomer.limits, **good))) is None
    assert admit(running, replace(newcomer, limits=replace(newcomer.limits, **bad))) is not None


def test_streams_that_may_give_way_make_room_for_one_more() -> None:
    willing = asking(1.8, steps=4, least_steps=1, sizes=SIZES, adapt=True, mode="auto", latency_ms=1500)
    assert admit([willing, willing], willing) is None
    stubborn = replace(willing, limits=replace(willing.limits, least_steps=4, sizes=SIZES[:1]))
    assert admit([stubborn, stubborn], stubborn) is not None


def test_where_only_the_delay_is_too_short_it_says_so() -> None:
    slow = asking(load=1.0, fps=8.0, latency_ms=700.0)
    refused = admit([slow, slow], asking(load=1.0, fps=8.0, latency_ms=500.0))
    assert refused is not None
    assert refused.need <= 1
    assert f"a delay of {refused.offer.latency_ms} ms" in refused.sentence


def test_where_nothing_helps_no_number_is_made_up() -> None:
    refused = admit([asking(load=9.0)], asking(load=9.0), sizes=SIZES)
    assert refused is not None
    assert refused.sentence.endswith("; end another one first")


def test_nobody_begins_to_see_every_third_frame() -> None:
    assert least_plan(asking(adapt=True, load=50.0)).frame_step == 2


# ---- who comes first


@given(demands=DEMANDS, data=st.data())
def test_shares_are_all_of_the_device_and_nobody_starves(demands: list[float], data: st.DataObject) -> None:
    on_air = data.draw(st.lists(st.booleans(), min_size=len(demands), max_size=len(demands)))
    shares = shares_by_turn(demands, on_air)
    assert sum(shares) == pytest.approx(1)
    assert min(shares) > 0
    if sum(demands) <= 1:
        assert all(share >= demand - 1e-9 for share, demand in zip(shares, demands, strict=True))
    if all(on_air) or not any(on_air):
        assert shares == fair_shares(demands)


@given(live=st.floats(0.01, 2.0), behind=DEMANDS)
def test_the_one_on_air_gets_what_it_asks_before_the_others(live: float, behind: list[float]) -> None:
    shares = shares_by_turn([live, *behind], [True] + [False] * len(behind))
    assert shares[0] >= min(live, 1 - BEHIND_SHARE) - 1e-9


def test_those_behind_share_alike() -> None:
    shares = shares_by_turn([0.6, 0.5, 0.5], [True, False, False])
    assert shares == pytest.approx([0.6, 0.2, 0.2])
