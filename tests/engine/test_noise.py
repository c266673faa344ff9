"""Seeded noise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limner.engine.noise import NoiseConfig, NoiseSource, mixed_seed

CPU = torch.device("cpu")


SHAPE = torch.Size((2, 2, 8, 8))


def draw(kind: str = "fresh", *, seed: int = 3, chunk: int = 0, step: int = 0) -> Tensor:
    config = NoiseConfig(kind="static" if kind == "static" else "fresh")
    return NoiseSource(config, CPU).draw(SHAPE, seed=seed, chunk=chunk, step=step)


def test_fresh_noise_differs_by_seed_chunk_step_and_frame() -> None:
    draws = [draw(), draw(seed=4), draw(chunk=1), draw(step=1), draw(chunk=1, step=1)]
    pictures = [picture for one in draws for picture in one]
    for i, picture in enumerate(pictures):
        assert not any(torch.equal(picture, other) for other in pictures[:i])


@pytest.mark.parametrize("kind", ["fresh", "static"])
def test_noise_does_not_depend_on_the_order_of_draws(kind: str) -> None:
    noise = NoiseSource(NoiseConfig(kind="static" if kind == "static" else "fresh"), CPU)
    places = [(chunk, step) for chunk in range(4) for step in range(4)]
    forth = {p: noise.draw(SHAPE, seed=3, chunk=p[0], step=p[1]) for p in places}
    back = {p: noise.draw(SHAPE, seed=3, chunk=p[0], step=p[1]) for p in reversed(places)}
    assert all(torch.equal(forth[p], back[p]) for p in places)


def test_noise_is_standard_normal() -> None:
    noise = torch.stack([draw(chunk=chunk) for chunk in range(400)])
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(1, abs=0.01)
    neighbours = (noise[1:] * noise[:-1]).mean().item()
    assert neighbours == pytest.approx(0, abs=0.01)


def test_static_noise_is_one_field_for_a_seed() -> None:
    first = draw("static")
    assert torch.equal(first[0], first[1]) and torch.equal(draw("static", chunk=7, step=2), first)
    assert not torch.equal(draw("static", seed=9), first)


def test_seeds_of_near_places_are_unrelated() -> None:
    seeds = {mixed_seed(s, c, n) for s in range(20) for c in range(500) for n in range(4)}
    assert len(seeds) == 40_000
    # The generator of a CPU uses 32 bits of it, where two of 40,000 may well be equal by chance.
    assert len({seed & 0xFFFFFFFF for seed in seeds}) > 39_990
    assert all(0 <= seed < 2**64 for seed in seeds)
