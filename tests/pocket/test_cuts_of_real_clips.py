"""Cuts of real clips: all that there are, and no others."""

from __future__ import annotations

import pytest
import torch
from tests.pocket.real_clips import real_clip
from torch import Tensor

from limner.engine.cuts import CutDetector, is_early

CUTS = {
    "bikes.mp4": (30, 76, 137, 187, 242),
    "bigbuckbunny.mp4": (),
    "carphone_pristine.mp4": (),
    "carphone_distorted.mp4": (),
}
"""First frames of new scenes, by eye."""


def clip(name: str, frames: int) -> Tensor:
    return torch.from_numpy(real_clip(name, frames).copy()).permute(0, 3, 1, 2).contiguous()


def borders(frames: Tensor) -> list[int]:
    """First frames of the chunks that begin a new scene."""
    detector = CutDetector()
    ats = [(start, detector.push(frames[start : start + 4])) for start in range(0, len(frames) - 3, 4)]
    return [start for start, at in ats if at is not None and is_early(at, 4)]


def nearest(at: int) -> int:
    return at // 4 * 4 if at % 4 < 2 else at // 4 * 4 + 4


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("skip", range(4))
def test_finds_exactly_the_cuts_that_are_there(name: str, skip: int) -> None:
    frames = clip(name, 250)[skip:]
    assert borders(frames) == [nearest(at - skip) for at in CUTS[name]]


@pytest.mark.parametrize("second", ["bigbuckbunny.mp4", "carphone_pristine.mp4"])
def test_finds_a_splice_at_every_place_in_a_chunk(second: str) -> None:
    for at in range(20, 28):
        for a, b in (
            (clip("bikes.mp4", 250)[140:], clip(second, 120)),
            (clip(second, 120), clip("bikes.mp4", 29)),
        ):
            assert borders(torch.cat([a[:at], b[:20]])) == [nearest(at)]
