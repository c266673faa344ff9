"""Hard cuts are found wherever they fall in a chunk; what only looks like one is not."""

from __future__ import annotations

import pytest
import torch
from tests.engine.scenes import HEIGHT, WIDTH, pan, scene, still
from torch import Tensor
from torch.nn import functional

from limner.engine.cuts import CutDetector, aligned, is_early, thumbnails


def found(frames: Tensor, chunk: int = 4) -> list[int]:
    """Frames of the clip at which a new context would begin, and nothing held back without one after it."""
    detector, cuts, is_held = CutDetector(), [], False
    for start in range(0, len(frames) - chunk + 1, chunk):
        at = detector.push(frames[start : start + chunk])
        assert not is_held or at == 0
        is_held = at is not None and not is_early(at, chunk)
        if at is not None and is_early(at, chunk):
            cuts.append(start)
    return cuts


@pytest.mark.parametrize("chunk", [4, 8, 12, 16])
def test_a_cut_is_found_at_every_place_and_begins_at_the_nearer_border(chunk: int) -> None:
    for at in range(2 * chunk, 3 * chunk):
        frames = torch.cat([still(1, at), still(2, 5 * chunk - at)])
        border = 2 * chunk if 2 * (at - 2 * chunk) < chunk else 3 * chunk
        assert found(frames, chunk) == [border], at


@pytest.mark.parametrize("at", range(1, 12))
def test_a_cut_soon_after_the_start_is_found_as_soon_as_the_scene_is_known(at: int) -> None:
    cuts = found(torch.cat([still(1, at), still(2, 24 - at)]))
    assert cuts == ([] if at < 4 else [(at + 2) // 4 * 4])


def test_a_cut_into_turmoil_is_one() -> None:
    turmoil = torch.cat([scene(seed)[None] for seed in range(2, 30)]).byte()
    assert found(torch.cat([still(1, 12), turmoil])) == [12]


def test_turmoil_from_the_start_is_none() -> None:
    assert found(torch.cat([scene(seed)[None] for seed in range(40)]).byte()) == []


def test_cuts_in_a_row_are_all_found() -> None:
    frames = torch.cat([still(seed, 12) for seed in range(6)])
    assert found(frames) == [12, 24, 36, 48, 60]


def test_a_cut_from_and_to_black_is_found() -> None:
    black = torch.zeros(8, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    assert found(torch.cat([black, still(1, 8), black])) == [8, 16]


def test_a_cut_out_of_a_pan_is_found() -> None:
    for speed in (0.03, 0.15):
        assert found(torch.cat([pan(1, 16, speed), pan(2, 16, speed)])) == [16]


@pytest.mark.parametrize("speed", [0.02, 0.05, 0.1, 0.18])
def test_a_pan_is_none(speed: float) -> None:
    assert found(torch.cat([pan(1, 1, 0).expand(12, -1, -1, -1), pan(1, 36, speed)])) == []


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("at", range(12, 16))
def test_a_flash_is_none(at: int, frames: int) -> None:
    for light in (torch.tensor(255), torch.rand(3, HEIGHT, WIDTH) * 255):
        clip = still(1, 32)
        clip[at : at + frames] = light.byte()
        detector = CutDetector()
        got = [detector.push(clip[start : start + 4]) for start in range(0, 32, 4)]
        assert not any(at is not None and is_early(at, 4) for at in got), got
        assert sum(at is not None for at in got) <= 1


def test_after_a_flash_a_cut_is_found() -> None:
    clip = torch.cat([still(1, 16), still(2, 16)])
    clip[10:12] = 255
    assert 16 in [12 + 4 * i for i, at in enumerate(_pushes(clip)[3:]) if at is not None]


def _pushes(clip: Tensor) -> list[int | None]:
    detector = CutDetector()
    return [detector.push(clip[start : start + 4]) for start in range(0, len(clip), 4)]


def test_exposure_that_drifts_or_jumps_is_none() -> None:
    gain = torch.cat([torch.linspace(1, 0.4, 16), torch.full((8,), 0.8), torch.full((8,), 0.4)])
    frames = (still(1, 32).float() * gain.view(-1, 1, 1, 1)).byte()
    assert found(frames) == []


@pytest.mark.parametrize("frames", [8, 16, 32])
def test_fades_and_dissolves_are_none(frames: int) -> None:
    share = torch.linspace(0, 1, frames).view(-1, 1, 1, 1)
    old, new = still(1, frames).float(), still(2, frames).float()
    to_black = old * (1 - share)
    assert found(torch.cat([still(1, 8), to_black.byte(), (new * share).byte(), still(2, 8)])) == []
    if frames > 8:
        dissolve = torch.lerp(old, new, share).byte()
        assert found(torch.cat([still(1, 8), dissolve, still(2, 8)])) == []


@pytest.mark.parametrize("sigma", [10, 40])
def test_noise_is_none(sigma: float) -> None:
    torch.manual_seed(0)
    noisy = scene(1) + sigma * torch.randn(40, 3, HEIGHT, WIDTH)
    assert found(noisy.clamp(0, 255).byte()) == []
    assert found((128 + sigma * torch.randn(40, 3, HEIGHT, WIDTH)).clamp(0, 255).byte()) == []


def test_something_large_that_passes_by_is_none() -> None:
    clip, lorry = still(1, 48), scene(2).byte()
    for t in range(16, 40):
        left, right = max(0, WIDTH - 10 * (t - 15)), max(0, min(WIDTH, 2 * WIDTH - 10 * (t - 15)))
        clip[t, :, 8:, left:right] = lorry[:, 8:, : right - left]
    assert found(clip) == []


def test_one_scene_alone_is_left_in_the_chunk() -> None:
    frames = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    shown = [aligned(frames, at)[:, 0, 0, 0].tolist() for at in range(4)]
    assert shown == [[0, 1, 2, 3], [1, 1, 2, 3], [0, 1, 1, 1], [0, 1, 2, 2]]
    assert [is_early(at, 4) for at in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("size", [(32, 48), (192, 320), (480, 832), (1080, 1920), (16, 16)])
def test_thumbnails_of_any_size_are_alike(size: tuple[int, int]) -> None:
    picture = functional.interpolate(scene(1)[None], size, mode="bilinear", antialias=True).byte()
    small = thumbnails(picture)
    assert small.shape == (1, 3, 18, 32)
    assert (small - thumbnails(scene(1)[None].byte())).abs().mean() < 0.07


def test_reset_forgets_the_scene() -> None:
    detector = CutDetector()
    detector.push(still(1, 4))
    detector.reset()
    assert detector.push(still(2, 4)) is None
