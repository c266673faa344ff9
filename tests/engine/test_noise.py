"""The motion-aware controller against the reference's formula, and seeded noise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limner.engine.motion import MotionController, motion_of
from limner.engine.noise import NoiseConfig, NoiseSource

CPU = torch.device("cpu")


def grey(*levels: int) -> Tensor:
    """One flat frame a level."""
    return torch.stack([torch.full((3, 4, 4), level, dtype=torch.uint8) for level in levels])


def test_motion_is_the_largest_rms_difference_over_the_full_one() -> None:
    assert motion_of(grey(100, 102, 101), 0.2).item() == pytest.approx(2 / 127.5 / 0.2)
    half = grey(100, 100)
    half[1, :, :2] = 110
    assert motion_of(half, 0.2).item() == pytest.approx(10 / 127.5 / 2**0.5 / 0.2)


def test_motion_is_limited_and_a_single_frame_has_none() -> None:
    assert motion_of(grey(0, 255), 0.2).item() == 1
    assert motion_of(grey(7), 0.2).item() == 0


def test_follows_the_formula_of_the_reference() -> None:
    controller = MotionController(NoiseConfig())
    strengths, previous = [], None
    for levels in ((100, 100, 105, 105), (105, 120, 120, 130), (130, 130, 130, 130)):
        strengths.append(controller.push(grey(*levels), 0.8, motion_aware=True).item())
    expected = []
    for largest in (5, 15, 0):
        wanted = 0.8 - 0.1 * min(largest / 127.5 / 0.2, 1)
        previous = wanted if previous is None else 0.9 * wanted + 0.1 * previous
        expected.append(previous)
    assert strengths == pytest.approx(expected)


def test_sees_the_motion_between_chunks() -> None:
    controller = MotionController(NoiseConfig())
    controller.push(grey(0, 0), 0.8, motion_aware=True)
    assert controller.push(grey(255, 255), 0.8, motion_aware=True).item() == pytest.approx(
        0.9 * 0.7 + 0.1 * 0.8
    )


@pytest.mark.parametrize("strength", [0.0, 0.1, 0.5, 1.0])
def test_stays_within_its_range_of_the_persons_strength(strength: float) -> None:
    controller = MotionController(NoiseConfig())
    torch.manual_seed(1)
    for _ in range(30):
        frames = torch.randint(0, int(torch.randint(2, 256, ())), (4, 3, 8, 8), dtype=torch.uint8)
        chosen = controller.push(frames, strength, motion_aware=True).item()
        assert strength * 0.875 - 1e-6 <= chosen <= strength + 1e-6


def test_a_moved_slider_is_obeyed_at_once() -> None:
    controller = MotionController(NoiseConfig())
    controller.push(grey(9, 9), 0.2, motion_aware=True)
    assert controller.push(grey(9, 9), 0.9, motion_aware=True).item() == pytest.approx(0.9)


def test_can_be_switched_off() -> None:
    controller = MotionController(NoiseConfig())
    assert controller.push(grey(0, 255), 0.6, motion_aware=False).item() == pytest.approx(0.6)


def test_reset_forgets_the_last_frame_and_strength() -> None:
    controller = MotionController(NoiseConfig())
    first = controller.push(grey(200, 200), 0.8, motion_aware=True)
    controller.push(grey(0, 255), 0.8, motion_aware=True)
    controller.reset()
    assert torch.equal(controller.push(grey(200, 200), 0.8, motion_aware=True), first)


def source(kind: str = "fresh", seed: int = 3) -> NoiseSource:
    config = NoiseConfig(kind="static" if kind == "static" else "fresh")
    return NoiseSource(config, shape_CHW=(2, 8, 8), seed=seed, device=CPU)


def test_fresh_noise_is_new_each_time_and_the_same_for_a_seed() -> None:
    one, two = source(), source()
    first, second = one.draw(2), one.draw(2)
    assert first.shape == (2, 2, 8, 8)
    assert not torch.equal(first, second) and not torch.equal(first[0], first[1])
    assert torch.equal(two.draw(2), first) and torch.equal(two.draw(2), second)
    assert not torch.equal(source(seed=4).draw(2), first)


def test_static_noise_is_one_field() -> None:
    static = source("static")
    first = static.draw(3)
    assert torch.equal(first[0], first[2]) and torch.equal(static.draw(1)[0], first[0])
    static.reseed(9)
    assert not torch.equal(static.draw(1)[0], first[0])


def test_reseeding_begins_again() -> None:
    noise = source()
    first = noise.draw(1)
    noise.reseed(3)
    assert torch.equal(noise.draw(1), first)
