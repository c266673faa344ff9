"""Overload, live: daemon, worker and shared memory are real, the engine's work is sleep, so a busy machine
does little harm. `tests/benchmarks/overload.py` does it with `pocket` and real load."""

from __future__ import annotations

from typing import Any

import pytest
from tests.benchmarks.overload import broken
from tests.support.daemon import running_daemon
from tests.support.live import FPS, Camera, share

from limner.daemon.client_session import ClientSession, hello_for
from limner.daemon.protocol import Change
from limner.engine.slo import RECOVERY_S

SOURCE = (1280, 720)
CALM, HALVED, CRUSHED = "load 1", "load 2", "load 30"
FIRST_S = 30.0
# Of the machine that the test runs on: whatever its other programs do.
STALLS_MS = 300


KEPT: dict[str, Any] = {
    "during": {"delay_ms": {"p95": 500.0}, "most_frames_inside": 12, "painted_fps": 29.0},
    "quality_back_s": 3.5,
}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"during": {**KEPT["during"], "delay_ms": {"p95": 601.0}}}, "delay p95"),
        ({"during": {**KEPT["during"], "most_frames_inside": 31}}, "31 frames"),
        ({"during": {**KEPT["during"], "painted_fps": 0.0}}, "nothing was painted"),
        ({"quality_back_s": None}, "back after None"),
        ({"quality_back_s": 10.5}, "back after 10.5"),
    ],
)
def test_the_benchmark_finds_each_broken_promise(wrong: dict[str, Any], said: str) -> None:
    assert list(broken(KEPT, 600)) == []
    (sentence,) = broken(KEPT | wrong, 600)
    assert said in sentence


@pytest.mark.slow
def test_half_the_speed_takes_quality_not_time_and_the_end_of_it_brings_it_back() -> None:
    change = Change(prompt=CALM, steps=3, latency_ms=700)
    with running_daemon("tests.worker.laboring:laboring", LIMNER_TEST_ENGINES="1") as daemon:
        daemon.wait_ready()
        with ClientSession(hello_for("camera", "bench", SOURCE, FPS, change), daemon.runtime_dir) as session:
            camera, record = Camera(session), None
            camera.run_until_painted(FIRST_S)
            camera.run(4)
            began_s = camera.now_s
            session.set(Change(prompt=HALVED), session.welcome.session)
            camera.run(7)
            ended_s = camera.now_s
            session.set(Change(prompt=CALM), session.welcome.session)
            camera.run(RECOVERY_S)
            record = camera.record
    before, during = record.looks_between(began_s - 1.5, began_s), record.looks_between(began_s + 2, ended_s)
    assert before and during
    assert not any(look.plan and look.plan.reduced for look in before)
    assert all(look.plan and look.plan.reduced for look in during)
    assert all("to keep up" in look.status.sentence for look in during)
    assert share(record.delays_ms(began_s, ended_s), 0.95) <= 700 + STALLS_MS
    # A chunk is gathered, one painted, and in stream batch two are between their steps.
    assert max(look.inside for look in during) <= 20
    last = record.looks[-1]
    assert last.plan is not None
    assert (last.plan.reduced, last.plan.steps, last.status.state) == (False, 3, "live")


@pytest.mark.slow
def test_where_nothing_helps_the_delay_is_bounded_and_the_state_says_so() -> None:
    change = Change(prompt=CRUSHED, steps=2)
    with running_daemon("tests.worker.laboring:laboring", LIMNER_TEST_ENGINES="1") as daemon:
        daemon.wait_ready()
        with ClientSession(hello_for("camera", "bench", SOURCE, FPS, change), daemon.runtime_dir) as session:
            camera = Camera(session)
            camera.run_until_painted(FIRST_S)
            camera.run(12)
    looks = camera.record.looks[-4:]
    assert {look.status.state for look in looks} == {"overloaded"}
    assert all(look.plan and look.plan.frame_step > 1 for look in looks)
    # A chunk takes 1.35 s here; its frames wait for the one before at most.
    assert camera.record.delays_ms(camera.now_s - 6, camera.now_s)[-1] <= 4000 + STALLS_MS
