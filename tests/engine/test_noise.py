"""Seeded noise."""

from __future__ import annotations

import torch

from limner.engine.noise import NoiseConfig, NoiseSource

CPU = torch.device("cpu")


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
