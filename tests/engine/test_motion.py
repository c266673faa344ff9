"""The motion-aware controller: the reference's formula, its window, smoothing, limits and hysteresis."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from limner.engine.motion import MotionController, motion_of, share_of
from limner.engine.noise import NoiseConfig
from limner.engine.types import StreamSettings

REFERENCE = StreamSettings(
    strength=0.8,
    motion_window=4,
    motion_smoothing=0.1,
    motion_low=0.875,
    motion_high=1.0,
    motion_hysteresis=0,
)
PLAIN = replace(REFERENCE, strength=1.0, motion_smoothing=0.0, motion_window=1)
"""The share itself, of the last frame, at once."""


def grey(*levels: int) -> Tensor:
    """One flat frame a level."""
    return torch.stack([torch.full((3, 4, 4), level, dtype=torch.uint8) for level in levels])


def controller() -> MotionController:
    return MotionController(NoiseConfig())


def test_motion_is_the_rms_difference_of_neighbours_over_the_full_one() -> None:
    assert motion_of(grey(100, 102, 101), 0.2).tolist() == pytest.approx([2 / 25.5, 1 / 25.5])
    half = grey(100, 100)
    half[1, :, :2] = 110
    assert motion_of(half, 0.2).item() == pytest.approx(10 / 25.5 / math.sqrt(2))


def test_what_counts_as_still_is_no_motion_and_full_motion_stays_full() -> None:
    assert motion_of(grey(100, 103), 0.2, 0.03).item() == 0
    assert motion_of(grey(100, 110), 0.2, 0.03).item() == pytest.approx((10 / 127.5 - 0.03) / 0.17)
    assert motion_of(grey(100, 126), 0.2, 0.03).item() == 1


def test_motion_is_limited_and_a_single_frame_has_none() -> None:
    assert motion_of(grey(0, 255), 0.2).item() == 1
    assert len(motion_of(grey(7), 0.2)) == 0


def test_the_share_falls_evenly_from_high_to_low() -> None:
    motion = torch.tensor([0.0, 0.5, 1.0])
    assert share_of(motion, low=0.6, high=1.2).tolist() == pytest.approx([1.2, 0.9, 0.6])


def test_follows_the_formula_of_the_reference() -> None:
    chooses = controller()
    strengths, previous, expected = [], None, []
    for levels in ((100, 100, 105, 105), (105, 120, 120, 130), (130, 130, 130, 130)):
        strengths.append(chooses.push(grey(*levels), REFERENCE).item())
    for largest in (5, 15, 0):
        wanted = 0.8 - 0.1 * min(largest / 127.5 / 0.2, 1)
        previous = wanted if previous is None else 0.9 * wanted + 0.1 * previous
        expected.append(previous)
    assert strengths == pytest.approx(expected)


def test_sees_the_motion_between_chunks() -> None:
    chooses = controller()
    chooses.push(grey(0, 0), REFERENCE)
    assert chooses.push(grey(255, 255), REFERENCE).item() == pytest.approx(0.9 * 0.7 + 0.1 * 0.8)


def test_the_fastest_frame_counts_as_long_as_the_window() -> None:
    chooses = controller()
    settings = replace(PLAIN, motion_window=6)
    chooses.push(grey(0, 0), settings)
    shares = [chooses.push(grey(255, 255), settings).item() for _ in range(4)]
    # The jump is 2, 4 and 6 frames back at the ends of these chunks, then out of sight.
    assert shares == pytest.approx([0.875, 0.875, 0.875, 1.0])


@pytest.mark.parametrize("window", [1, 5, 239, 240])
def test_windows_of_any_length_forget_on_time(window: int) -> None:
    chooses = controller()
    settings = replace(PLAIN, motion_window=window)
    chooses.push(grey(0, 255), settings)
    still = [chooses.push(grey(255), settings).item() < 1 for _ in range(window + 2)]
    assert still == [True] * (window - 1) + [False] * 3


@pytest.mark.parametrize("strength", [0.0, 0.1, 0.5, 1.0])
def test_stays_within_its_range_of_the_persons_strength(strength: float) -> None:
    chooses = controller()
    settings = replace(REFERENCE, strength=strength, motion_low=0.6)
    torch.manual_seed(1)
    for _ in range(30):
        frames = torch.randint(0, int(torch.randint(2, 256, ())), (4, 3, 8, 8), dtype=torch.uint8)
        assert strength * 0.6 - 1e-6 <= chooses.push(frames, settings).item() <= strength + 1e-6


def test_more_than_all_of_it_is_all_of_it() -> None:
    assert controller().push(grey(9, 9), replace(PLAIN, strength=0.9, motion_high=1.5)).item() == 1


def test_a_moved_slider_is_obeyed_at_once() -> None:
    chooses = controller()
    settings = StreamSettings(strength=0.2)
    chooses.push(grey(9, 9), settings)
    assert chooses.push(grey(9, 9), replace(settings, strength=0.9)).item() == pytest.approx(0.9)


def test_small_changes_change_nothing_and_large_ones_do() -> None:
    settings = replace(PLAIN, motion_hysteresis=0.02)
    chooses = controller()
    # 4 levels of motion are 0.0196 of share, 5 are 0.0245.
    shares = [chooses.push(grey(level), settings).item() for level in (100, 104, 100, 105, 101, 101)]
    assert shares == pytest.approx([1, 1, 1, 1 - 0.125 * 5 / 25.5, 1 - 0.125 * 5 / 25.5, 1])


def test_hysteresis_does_not_hold_slow_smoothing_for_ever() -> None:
    settings = replace(PLAIN, motion_smoothing=0.95, motion_hysteresis=0.02)
    chooses = controller()
    chooses.push(grey(0), settings)
    shares = [chooses.push(grey(0 if i % 2 else 255), settings).item() for i in range(80)]
    assert shares[0] == 1 and shares[-1] < 0.875 + 0.02


def test_can_be_switched_off_and_on_again_in_the_midst() -> None:
    chooses, other = controller(), controller()
    on = replace(REFERENCE, motion_window=8)
    for i, aware in enumerate((True, False, False, True)):
        frames = grey(0, 40 * i, 10, 30 * i)
        got = chooses.push(frames, replace(on, motion_aware=aware))
        would = other.push(frames, on)
        assert got.item() == (would.item() if aware else pytest.approx(0.8))


def test_settings_change_while_it_runs_and_the_past_counts_on() -> None:
    chooses = controller()
    chooses.push(grey(0, 255, 255), PLAIN)
    assert chooses.push(grey(255), PLAIN).item() == 1
    assert chooses.push(grey(255), replace(PLAIN, motion_window=5, motion_low=0.5)).item() == 0.5


def test_reset_forgets_everything() -> None:
    chooses = controller()
    first = chooses.push(grey(200, 200), REFERENCE)
    chooses.push(grey(0, 255), REFERENCE)
    chooses.reset()
    assert torch.equal(chooses.push(grey(200, 200), REFERENCE), first)
