"""What gives way, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.engine.slo_machine import CAMERA, SIZES

from limner.engine.slo_plan import Limits, Mode, Plan, ladder, reductions, sizes_from


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
