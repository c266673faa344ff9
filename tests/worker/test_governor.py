"""From a session's settings to its plan, and back to what the daemon is told."""

from __future__ import annotations

from typing import Any

import pytest

from limner.daemon.protocol import SegmentRef, Settings
from limner.daemon.worker_protocol import Open
from limner.engine.slo_cost import Profile
from limner.engine.slo_plan import Plan
from limner.engine.slo_state import Chunk
from limner.worker.engines import Abilities
from limner.worker.governor import Governor, limits_of

ABILITIES = Abilities(sizes=((320, 192), (320, 176), (256, 144), (192, 320)), most_chunk=3)


def opening(session: str = "camera", fps: float = 30.0, slots: int = 24, **settings: Any) -> Open:
    return Open(
        session=session,
        generation=1,
        width=320,
        height=176,
        fps=fps,
        input=SegmentRef(name="in", size_bytes=4096, slots=slots),
        output=SegmentRef(name="out", size_bytes=4096, slots=32),
        rev=1,
        settings=Settings(**settings),
    )


def paint(
    governor: Governor, load: float, chunks: int, *, session: str = "camera", now_s: float = 0.0
) -> Plan:
    """Tell of chunks that took as long as the profile says, times the load."""
    for number in range(chunks):
        plan = governor.plan(session)
        stages = {stage: load * ms for stage, ms in Profile().stages_ms(plan).items()}
        governor.measured(session, Chunk(now_s=now_s + 0.1333 * number, stages_ms=stages, delay_ms=200))
    return governor.plan(session)


def test_a_session_asks_for_what_its_settings_say() -> None:
    asked = opening(steps=3, least_steps=2, mode="throughput", chunk=2, latency_ms=400)
    limits = limits_of(asked, asked.settings, ABILITIES)
    assert (limits.steps, limits.least_steps, limits.mode, limits.chunk_latents) == (3, 2, "throughput", 2)
    assert (limits.fps, limits.latency_ms, limits.adapt) == (30.0, 400.0, True)
    assert limits.sizes == ((320, 176), (256, 144))


@pytest.mark.parametrize(("slots", "longest"), [(8, 1), (10, 2), (24, 3)])
def test_no_chunk_is_longer_than_slots_and_model_allow(slots: int, longest: int) -> None:
    asked = opening(slots=slots, chunk=4)
    limits = limits_of(asked, asked.settings, ABILITIES)
    assert limits.most_chunk == limits.chunk_latents == longest
    assert limits.most_waiting == slots - 2


@pytest.mark.parametrize("fps", [1e-300, 1e300])
def test_a_rate_that_nobody_has_does_no_harm(fps: float) -> None:
    assert Governor(ABILITIES).open(opening(fps=fps)).frame_step == 1


def test_load_takes_quality_and_the_daemon_hears_of_it() -> None:
    governor = Governor(ABILITIES)
    governor.open(opening(steps=2))
    assert not governor.describe("camera").reduced
    paint(governor, 2.6, 6)
    told = governor.describe("camera")
    assert told.reduced
    assert told.sentence.startswith("1 of 2 steps")
    assert (told.width, told.height) in ABILITIES.sizes


def test_without_leave_to_adapt_nothing_gives_way() -> None:
    governor = Governor(ABILITIES)
    governor.open(opening(steps=2, adapt=False, mode="latency"))
    assert paint(governor, 9.0, 20) == Plan(steps=2, stream_batch=False, chunk_latents=1, size=(320, 176))


def test_a_change_of_words_alone_does_not_touch_the_plan() -> None:
    governor = Governor(ABILITIES)
    governor.open(opening(steps=2))
    reduced = paint(governor, 3.0, 10)
    assert governor.wish("camera", Settings(steps=2, prompt="noir", strength=0.9)) == reduced
    assert governor.wish("camera", Settings(steps=1)).steps == 1


def test_a_second_session_takes_its_share_and_gives_it_back_when_it_is_quiet() -> None:
    governor = Governor(ABILITIES)
    settings: dict[str, Any] = {"steps": 4, "mode": "throughput", "latency_ms": 2000}
    for session in ("camera", "game"):
        governor.open(opening(session, **settings))
    alone = paint(governor, 1.0, 12)
    assert alone.steps == 4
    for number in range(40):
        now_s = 10 + 0.1333 * number
        for session in ("game", "camera"):
            paint(governor, 1.3, 1, session=session, now_s=now_s)
    assert governor.plan("camera").steps < 4
    paint(governor, 1.0, 60, now_s=30)
    assert governor.plan("camera").steps == 4
    governor.close("camera")
    governor.close("camera")


def test_a_session_whose_chunks_take_seconds_still_has_its_share() -> None:
    def quick_ones_steps(*, gone_s: float) -> int:
        governor = Governor(ABILITIES)
        settings: dict[str, Any] = {"steps": 4, "mode": "throughput", "latency_ms": 2000}
        governor.open(opening("slow", adapt=False, fps=1.0, **settings))
        governor.open(opening("quick", **settings))
        for number in range(4):
            paint(governor, 30.0, 1, session="slow", now_s=3.0 * number)
        paint(governor, 1.3, 40, session="quick", now_s=9.0 + gone_s)
        return governor.plan("quick").steps

    assert quick_ones_steps(gone_s=0.0) < quick_ones_steps(gone_s=30.0)


def test_where_there_is_time_a_hiccup_may_wait() -> None:
    governor = Governor(ABILITIES)
    governor.open(opening())
    assert governor.slack("camera") > 1
    paint(governor, 60.0, 10)
    assert governor.slack("camera") == 1, "where nothing fits, nothing waits"


# ---- more sessions than there is time for


def busy(governor: Governor, load: float, *sessions: str, **settings: Any) -> None:
    """Open sessions and let them paint at a load, turn by turn."""
    for session in sessions:
        governor.open(opening(session, **settings))
    for number in range(30):
        for session in sessions:
            paint(governor, load, 1, session=session, now_s=0.1333 * number)


def test_a_session_too_many_is_refused_with_numbers() -> None:
    governor = Governor(ABILITIES)
    fixed: dict[str, Any] = {"steps": 1, "adapt": False, "mode": "latency"}
    busy(governor, 1.0, "camera", **fixed)
    assert governor.refusal(opening("game", **fixed)) is None
    busy(governor, 1.0, "game", **fixed)
    refused = governor.refusal(opening("third", **fixed))
    assert refused is not None
    assert refused.sentence.startswith("A third stream does not fit: all 3 would take ")
    assert "it would " in refused.sentence
    governor.close("game")
    assert governor.refusal(opening("third", **fixed)) is None


def test_a_session_that_comes_again_is_not_counted_twice() -> None:
    governor = Governor(ABILITIES)
    busy(governor, 1.4, "camera", "game", adapt=False)
    assert governor.refusal(opening("third", adapt=False)) is not None
    governor.close("game")
    assert governor.refusal(opening("third", adapt=False)) is not None
    assert governor.refusal(opening("game", adapt=False)) is None, "it still has its place"


def test_nobody_is_refused_for_sessions_that_have_not_painted() -> None:
    governor = Governor(ABILITIES)
    for session in ("camera", "game"):
        governor.open(opening(session))
    assert governor.refusal(opening("third", adapt=False, steps=4)) is None


def test_one_on_air_comes_in_before_one_off_air_and_never_behind_it() -> None:
    wish: dict[str, Any] = {"steps": 4, "least_steps": 1, "mode": "throughput", "latency_ms": 2000}
    preview = {**wish, "least_steps": 3}
    governor = Governor(ABILITIES)
    busy(governor, 1.1, "live", **wish)
    assert governor.plan("live").steps == 4
    assert governor.refusal(opening("preview", on_air=True, **wish)) is None, "live goes down a little"
    assert governor.refusal(opening("preview", on_air=False, **preview)) is not None, "live keeps its quality"
    governor.wish("live", Settings(on_air=False, **wish))
    assert governor.refusal(opening("other", on_air=True, adapt=False, steps=4)) is None


def test_the_session_on_air_keeps_its_quality_before_the_others() -> None:
    def steps(*, preview_on_air: bool) -> tuple[int, int]:
        governor = Governor(ABILITIES)
        settings: dict[str, Any] = {"steps": 4, "mode": "throughput", "latency_ms": 2000}
        governor.open(opening("live", **settings))
        governor.open(opening("preview", **settings))
        governor.wish("preview", Settings(on_air=preview_on_air, **settings))
        for number in range(60):
            for session in ("live", "preview"):
                paint(governor, 1.1, 1, session=session, now_s=0.1333 * number)
        return governor.plan("live").steps, governor.plan("preview").steps

    alike, (live, preview) = steps(preview_on_air=True), steps(preview_on_air=False)
    assert alike[0] == alike[1] < 4
    assert live == 4
    assert preview < alike[1] or preview == 1
