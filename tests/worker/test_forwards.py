"""Streams that share forwards, through the worker: what is measured counts, and nobody is the worse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.worker.test_governor import opening

from limner.engine.slo_cost import Profile
from limner.engine.slo_learn import AGAIN_S
from limner.engine.slo_state import Chunk
from limner.worker.engines import Abilities
from limner.worker.governor import Governor

ABILITIES = Abilities(sizes=((320, 176),), most_together=4)
SPAN_S = 4 / 30


class Machine:
    """Paints every session of a governor once a span, as many in a forward as may."""

    def __init__(self, *, saved: float, load: float = 1.0, abilities: Abilities = ABILITIES) -> None:
        """`saved`: of a forward's time, by each other one in it."""
        self.governor = Governor(abilities, self.share)
        self.saved, self.load = saved, load
        self.most, self.now_s = 1, 0.0
        self.works = True

    def share(self, most: int) -> bool:
        self.most = most
        return self.works

    def paint(self, spans: int, *sessions: str) -> None:
        for _ in range(spans):
            self.now_s += SPAN_S
            for number, session in enumerate(sessions):
                plan = self.governor.plan(session)
                stages = {stage: self.load * ms for stage, ms in Profile().stages_ms(plan).items()}
                together = max(1, min(self.most, len(sessions))) if self.works else 1
                stages["denoise"] *= together - self.saved * (together - 1)
                chunk = Chunk(now_s=self.now_s + number / 1e3, stages_ms=stages, delay_ms=200)
                self.governor.measured(session, chunk, together)


def machine_of(*sessions: str, saved: float, load: float = 1.0, **settings: Any) -> Machine:
    machine = Machine(saved=saved, load=load)
    for session in sessions:
        machine.governor.open(opening(session, **{"latency_ms": 900, **settings}))
    return machine


THREE = ("one", "two", "three")
LOAD, SAVED = 0.745, 0.8
"""Three alone take 0.96 of the machine; two to a forward, with 0.8 of one saved, 0.77."""


def test_three_that_do_not_keep_up_alone_share_and_keep_their_quality() -> None:
    machine = machine_of(*THREE, saved=SAVED, load=LOAD)
    machine.paint(60, *THREE)
    assert machine.most >= 2
    told = [machine.governor.describe(session) for session in THREE]
    assert [plan.reduced for plan in told] == [False] * 3
    assert [plan.together for plan in told] == [machine.most] * 3


def test_where_sharing_saves_nothing_each_goes_alone_and_quality_gives_way() -> None:
    machine = machine_of(*THREE, saved=0.0, load=1.0)
    machine.paint(60, *THREE)
    assert machine.most == 1
    told = [machine.governor.describe(session) for session in THREE]
    assert all(plan.reduced for plan in told)
    assert [plan.together for plan in told] == [1] * 3


@pytest.mark.parametrize("saved", [0.0, 0.7])
def test_two_that_keep_up_alone_go_alone(saved: float) -> None:
    machine = machine_of("one", "two", saved=saved, load=0.6)
    machine.paint(60, "one", "two")
    assert machine.most == 1
    assert not machine.governor.describe("one").reduced


def test_what_a_shared_forward_takes_is_no_load() -> None:
    """The control sees the machine as fast as it is, however many are in a forward."""
    machine = machine_of(*THREE, saved=SAVED, load=LOAD)
    machine.paint(60, *THREE)
    for session in THREE:
        state = machine.governor._sessions[session].state
        assert state.load == pytest.approx(LOAD, abs=0.05)
        assert state.profile.saved == pytest.approx(SAVED * state.profile.forward_ms(state.plan), rel=0.05)


def test_one_more_is_let_in_for_what_was_measured_only() -> None:
    settings: dict[str, Any] = {"adapt": False, "steps": 1}
    machine = machine_of("one", "two", saved=0.8, load=0.75, **settings)
    third = opening("three", latency_ms=900, **settings)
    machine.paint(10, "one", "two")
    # Nobody knows what sharing would save.
    assert machine.governor.refusal(third) is not None
    machine.paint(12, "one", "two")
    # They tried, since somebody was refused.
    assert machine.governor.refusal(third) is None
    machine.governor.open(third)
    machine.paint(30, *THREE)
    assert machine.most >= 2
    assert not machine.governor.describe("three").reduced


def test_one_more_stays_out_where_sharing_saves_nothing() -> None:
    settings: dict[str, Any] = {"adapt": False, "steps": 1}
    machine = machine_of("one", "two", saved=0.0, load=0.75, **settings)
    third = opening("three", latency_ms=900, **settings)
    for _ in range(4):
        machine.paint(int(AGAIN_S / SPAN_S / 2), "one", "two")
        assert machine.governor.refusal(third) is not None
    assert machine.most == 1


def test_one_on_air_is_not_reduced_for_the_sake_of_others_that_share() -> None:
    machine = machine_of(*THREE, saved=0.3, load=1.6, steps=2)
    for session in THREE[1:]:
        one = machine.governor._sessions[session]
        one.on_air = False
    machine.paint(80, *THREE)
    first, *others = (machine.governor.describe(session) for session in THREE)
    assert first.frame_step == 1
    assert all((plan.frame_step, plan.steps) >= (first.frame_step, 1) for plan in others)
    assert max(plan.frame_step for plan in others) > 1


def test_an_engine_that_cannot_share_any_more_is_believed() -> None:
    machine = machine_of(*THREE, saved=SAVED, load=LOAD)
    machine.paint(60, *THREE)
    assert machine.most >= 2
    machine.works, machine.load = False, 0.85
    machine.paint(60, *THREE)
    told = [machine.governor.describe(session) for session in THREE]
    assert [plan.together for plan in told] == [1] * 3
    assert all(plan.reduced for plan in told)


def test_an_engine_that_never_could_is_not_asked() -> None:
    machine = Machine(saved=0.7, abilities=replace(ABILITIES, most_together=1))
    machine.most = 0
    for session in THREE:
        machine.governor.open(opening(session, latency_ms=900))
    machine.paint(1, *THREE)
    assert machine.most == 0
