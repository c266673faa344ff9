"""States and their sentences; the worker as the daemon sees it; when it is started again."""

from __future__ import annotations

import dataclasses

import pytest

from limner.daemon.config import DaemonConfig, default_threads
from limner.daemon.metrics import NS_PER_S
from limner.daemon.protocol import Plan, State, WorkerInfo
from limner.daemon.sayings import sentence as in_english
from limner.daemon.status import Facts, OverloadWatch, describe
from limner.daemon.supervisor import Backoff
from limner.daemon.worker_protocol import Loading, Ready, Report
from limner.daemon.worker_view import HANG_NS, MUTE_NS, WorkerView

READY = WorkerInfo(state="ready", model="pocket", device="CPU")
LIVE = Facts(
    bypass=False,
    failure="",
    opened=True,
    worker=READY,
    progress=1.0,
    fps_in=30.0,
    painting_ns=60 * NS_PER_S,
    fps_out=28.0,
    overloaded=False,
    steps=1,
    delay_ms=310.0,
)


def plan(sentence: str, *, frame_step: int = 1) -> Plan:
    return Plan(
        steps=1,
        mode="throughput",
        chunk=1,
        width=256,
        height=144,
        frame_step=frame_step,
        reduced=True,
        sentence=sentence,
    )


@pytest.mark.parametrize(
    ("change", "state", "sentence"),
    [
        ({}, "live", "Live: 28 fps, 310 ms delay, pocket on CPU"),
        ({"note": "words"}, "live", "Live: 28 fps, 310 ms delay, pocket on CPU; words"),
        ({"bypass": True}, "off", "Bypassed: the source is shown"),
        ({"failure": "No."}, "failed", "No."),
        ({"worker": WorkerInfo(state="stopped", sentence="It fell")}, "waiting", "It fell"),
        ({"worker": WorkerInfo(state="failed", sentence="It fell")}, "failed", "It fell"),
        (
            {"worker": WorkerInfo(state="loading", sentence="Loading"), "progress": 0.4},
            "loading",
            "Loading; 40% done",
        ),
        ({"opened": False}, "loading", "Preparing pocket on CPU"),
        ({"painting_ns": 0}, "loading", "Painting the first frames: pocket on CPU"),
        ({"fps_in": 0.0}, "live", "Ready: pocket on CPU, no frames come in"),
        (
            {"overloaded": True, "fps_out": 14.0},
            "overloaded",
            "Overloaded: 14 of 30 fps, 310 ms delay; close other programs",
        ),
        (
            {"overloaded": True, "fps_out": 0.0, "steps": 2},
            "overloaded",
            "Overloaded: 0 of 30 fps, 310 ms delay; allow fewer steps or close other programs",
        ),
        (
            {"plan": plan("1 of 2 steps, 256×144")},
            "live",
            "Live: 28 fps, 310 ms delay, pocket on CPU; 1 of 2 steps to keep up; 256×144 to keep up",
        ),
        (
            {"plan": plan("1 of 2 steps, 1 of 2 frames", frame_step=2), "fps_out": 15.0},
            "overloaded",
            "Overloaded: 15 of 30 fps, 310 ms delay; 1 of 2 steps to keep up; 1 of 2 frames to keep up; "
            "close other programs",
        ),
    ],
)
def test_sentences(change: dict[str, object], state: State, sentence: str) -> None:
    found = describe(dataclasses.replace(LIVE, **change))  # type: ignore[arg-type]
    assert found[0] == state
    assert in_english(found[1]) == sentence


def overload(rates: list[tuple[float, float]], *, painting_ns: int = 60 * NS_PER_S) -> list[bool]:
    """Return what the watch says of (painted, dropped) fps out of 30, looking every half second."""
    watch = OverloadWatch()
    return [
        watch.look(
            i * NS_PER_S // 2, painting_ns=painting_ns, fps_in=30.0, fps_out=painted, fps_dropped=dropped
        )
        for i, (painted, dropped) in enumerate(rates)
    ]


def test_overload_needs_drops_and_time() -> None:
    assert overload([(14.0, 16.0), (0.0, 1.0), (19.0, 11.0)]) == [True, True, True]
    assert overload([(14.0, 0.0), (18.5, 11.5)]) == [False, False]
    assert overload([(14.0, 16.0)], painting_ns=NS_PER_S) == [False]


def test_an_overload_does_not_flap() -> None:
    around_the_limit = [(17.0, 13.0), (19.0, 11.0), (22.0, 8.0)] * 5
    assert all(overload(around_the_limit))
    assert overload([(14.0, 16.0), *[(23.0, 7.0)] * 6]) == [True] * 5 + [False] * 2
    assert overload([(14.0, 16.0), *[(23.0, 7.0)] * 3, (22.0, 8.0), *[(23.0, 7.0)] * 3]) == [True] * 8


def test_a_worker_from_start_to_end() -> None:
    view = WorkerView()
    view.started(42, 0)
    view.loading(Loading(progress=0.5, what="Loading pocket"))
    assert (view.info.state, view.info.pid, view.progress) == ("loading", 42, 0.5)
    view.became_ready(Ready(model="pocket", device="CPU", frames_per_chunk=4), 0)
    assert view.ready
    view.ended("It fell", failed=False)
    assert (view.info.state, view.info.restarts, view.info.sentence) == ("stopped", 1, "It fell")
    assert view.stuck(10 * HANG_NS) == ""


def test_a_worker_that_hangs_is_noticed() -> None:
    view = WorkerView()
    view.started(42, 0)
    assert "said nothing" in view.stuck(MUTE_NS + 1)
    view.heard(MUTE_NS)
    assert view.stuck(MUTE_NS + 1) == ""
    view.became_ready(Ready(model="pocket", device="CPU", frames_per_chunk=4), MUTE_NS)
    for now_ns in range(MUTE_NS, MUTE_NS + HANG_NS + NS_PER_S, NS_PER_S // 2):
        view.heard(now_ns)
        view.report(Report(chunks=3, busy=True, memory_bytes=1), now_ns)
    assert "hung" in view.stuck(now_ns)
    view.report(Report(chunks=4, busy=True, memory_bytes=1), now_ns)
    assert view.stuck(now_ns) == ""


def test_an_idle_worker_does_not_hang() -> None:
    view = WorkerView()
    view.started(42, 0)
    view.became_ready(Ready(model="pocket", device="CPU", frames_per_chunk=4), 0)
    for now_ns in range(0, 10 * HANG_NS, NS_PER_S):
        view.heard(now_ns)
        view.report(Report(chunks=3, busy=False, memory_bytes=1), now_ns)
        assert view.stuck(now_ns) == ""


def test_the_wait_grows_and_a_healthy_life_ends_it() -> None:
    backoff = Backoff()
    assert [backoff.died(0.5) for _ in range(7)] == [0, 1, 2, 4, 8, 10, 10]
    assert backoff.hopeless
    assert backoff.died(60.0) == 0
    assert not backoff.hopeless


def test_threads_leave_a_core_to_obs_where_there_are_some() -> None:
    assert [default_threads(n) for n in (1, 2, 3, 4, 16)] == [1, 2, 2, 3, 15]
    assert DaemonConfig(threads=3).worker_threads == 3
    assert DaemonConfig().worker_threads >= 1
    with pytest.raises(ValueError, match="not -1"):
        DaemonConfig(threads=-1)
    with pytest.raises(ValueError, match="unknown engine 'x'"):
        DaemonConfig(engine="x")
