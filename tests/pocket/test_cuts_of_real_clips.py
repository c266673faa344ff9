"""Cuts of real clips: all that there are, and no others."""

from __future__ import annotations

import itertools

import pytest
import torch
from tests.pocket.real_clips import WIDTH, real_clip
from torch import Tensor
from torch.nn import functional

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


SCENES = (
    *(("bikes.mp4", first) for first in (0, 40, 110, 150, 200)),
    ("bigbuckbunny.mp4", 0),
    ("carphone_pristine.mp4", 0),
)
"""Clips and first frames of 24 frames of one scene each."""


@pytest.mark.parametrize("at", [20, 21, 22, 23])
def test_finds_a_splice_of_any_two_scenes_at_every_place_in_a_chunk(at: int) -> None:
    scenes = [clip(name, first + 24)[first:] for name, first in SCENES]
    for old, new in itertools.permutations(scenes, 2):
        assert borders(torch.cat([old[:at], new[:20]])) == [nearest(at)]


@pytest.mark.parametrize("speed", [0.03, 0.1, 0.2])
def test_a_camera_that_begins_to_pan_makes_no_cut(speed: float) -> None:
    """Over a picture three times the frame's size, in widths of the frame per frame."""
    for name, first in SCENES:
        wide = functional.interpolate(clip(name, first + 1)[first:].float(), scale_factor=3, mode="bilinear")[
            0
        ]
        wide = torch.cat([wide, wide.flip(-1)] * 3, dim=-1)
        starts = [round(WIDTH * speed * max(0, t - 8)) % (wide.shape[-1] - WIDTH) for t in range(32)]
        frames = torch.stack([wide[:, 150:330, x : x + WIDTH] for x in starts]).byte()
        assert borders(frames) == [], (name, first)


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "carphone_pristine.mp4"])
def test_what_a_cameras_light_does_makes_no_cut(name: str) -> None:
    frames = clip(name, 40).float()
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    assert borders((frames + 30 * noise).clamp(0, 255).byte()) == []
    for gain in (0.3, 2.5):
        exposed = torch.cat([frames[:21], frames[21:] * gain])
        assert borders(exposed.clamp(0, 255).byte()) == []
    for at, length in itertools.product(range(20, 24), (1, 2, 4)):
        flashed = frames.clone()
        flashed[at : at + length] = flashed[at : at + length] * 0.2 + 0.8 * 255
        assert borders(flashed.byte()) == []
