"""Noise levels: the figures of the reference, and the properties that the slider needs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limner.engine.schedule import (
    ScheduleConfig,
    add_noise,
    grid_sigma,
    predict_clean,
    shifted,
    step_sigmas,
    told_sigmas,
)

WAN = ScheduleConfig(timesteps=(700, 500, 400, 200), shift=8.0, offset=0.1, default_strength=0.8)
EVEN = ScheduleConfig()

strengths = st.floats(0, 1, width=32)
step_counts = st.integers(1, 4)


def sigmas(config: ScheduleConfig, strength: float, steps: int) -> torch.Tensor:
    return step_sigmas(config, torch.tensor(strength), steps)


def test_the_grid_of_the_reference() -> None:
    assert grid_sigma(500, 8.0) == pytest.approx(0.49972, abs=5e-6)
    assert grid_sigma(200, 8.0) == pytest.approx(0.19835, abs=5e-6)
    assert shifted(0.5, 8.0) == pytest.approx(8 * 0.5 / (1 + 7 * 0.5))
    assert grid_sigma(500, 1.0) == pytest.approx(0.5)


def test_the_steps_of_the_reference() -> None:
    expected = [0.8, grid_sigma(500, 8.0), grid_sigma(400, 8.0), grid_sigma(200, 8.0)]
    torch.testing.assert_close(sigmas(WAN, 0.8, 4), torch.tensor(expected))
    torch.testing.assert_close(sigmas(WAN, 0.8, 2), torch.tensor(expected[:2]))


def test_only_the_first_step_is_told_less_by_the_offset() -> None:
    told = told_sigmas(WAN, sigmas(WAN, 0.75, 4))
    torch.testing.assert_close(told - sigmas(WAN, 0.75, 4), torch.tensor([-0.1, 0, 0, 0]))
    assert torch.equal(told_sigmas(EVEN, sigmas(EVEN, 0.6, 3)), sigmas(EVEN, 0.6, 3))


def test_even_steps_go_down_from_the_strength() -> None:
    torch.testing.assert_close(sigmas(EVEN, 0.8, 4), torch.tensor([0.8, 0.6, 0.4, 0.2]))
    torch.testing.assert_close(sigmas(EVEN, 0.8, 1), torch.tensor([0.8]))


def test_a_shift_below_one_leaves_more_of_the_source() -> None:
    gentle = ScheduleConfig(shift=0.4)
    torch.testing.assert_close(sigmas(gentle, 0.5, 1), torch.tensor([0.2 / 0.7]))
    torch.testing.assert_close(sigmas(gentle, 1.0, 2), torch.tensor([1.0, 0.2 / 0.7]))
    assert sigmas(gentle, 0.0, 2).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("config", [WAN, EVEN])
@given(strength=strengths, steps=step_counts)
def test_sigmas_begin_at_the_strength_and_fall(config: ScheduleConfig, strength: float, steps: int) -> None:
    levels = sigmas(config, strength, steps)
    assert levels.shape == (steps,) and levels[0] == strength
    assert (levels[:-1] >= levels[1:]).all() and (levels >= 0).all()
    told = told_sigmas(config, levels)
    assert (told >= 0).all() and (told <= levels).all()


@pytest.mark.parametrize("config", [WAN, EVEN])
@given(low=strengths, high=strengths, steps=step_counts)
def test_more_strength_is_never_less_noise(
    config: ScheduleConfig, low: float, high: float, steps: int
) -> None:
    low, high = sorted((low, high))
    assert (sigmas(config, low, steps) <= sigmas(config, high, steps)).all()
    told = [told_sigmas(config, sigmas(config, strength, steps)) for strength in (low, high)]
    assert (told[0] <= told[1] + 1e-6).all()


def test_the_right_velocity_gives_the_clean_latents_back() -> None:
    z, noise, sigma = torch.randn(4, 4), torch.randn(4, 4), torch.tensor(0.7)
    torch.testing.assert_close(predict_clean(add_noise(z, noise, sigma), noise - z, sigma), z)


def test_no_noise_is_exactly_the_input() -> None:
    z = torch.randn(4, 4)
    assert torch.equal(add_noise(z, torch.randn(4, 4), torch.tensor(0.0)), z)
    assert torch.equal(predict_clean(z, torch.randn(4, 4), torch.tensor(0.0)), z)
