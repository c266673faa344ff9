"""On real video: a look turns into another gradually, and a cut does not smear the old scene."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.pocket.real_clips import HEIGHT, WIDTH, pocket, real_clip
from torch import Tensor

from limner.engine.types import PromptShare, StreamSettings

CHUNK = 4


def clip(name: str, first: int, frames: int) -> Tensor:
    pictures = real_clip(name, first + frames)[first:]
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).contiguous()


def painted(frames: Tensor, settings: Callable[[int], StreamSettings]) -> list[Tensor]:
    """What a stream paints of each chunk, float, with settings by the chunk's number."""
    stream = pocket().open_stream(settings(0), HEIGHT, WIDTH)
    out = []
    for start in range(0, len(frames), CHUNK):
        stream.update(settings(start // CHUNK))
        result = stream.push(frames[start : start + CHUNK])
        assert result is not None
        out.append(result.frames_TCHW.float())
    return out


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean().sqrt())


@pytest.mark.parametrize(
    ("old", "new"), [("oil painting", "noir"), ("neon", "watercolor"), ("", "pencil sketch")]
)
def test_a_look_turns_into_another_gradually(old: str, new: str) -> None:
    """Over 32 frames: nearer with every chunk, and no chunk takes more than half of the way."""
    frames = clip("bikes.mp4", 140, 44)

    def changing(chunk: int) -> StreamSettings:
        return StreamSettings(prompt=old if chunk == 0 else new, transition_frames=32)

    olds = painted(frames, lambda _: StreamSettings(prompt=old))
    news = painted(frames, lambda _: StreamSettings(prompt=new))
    whole = [apart(a, b) for a, b in zip(olds, news, strict=True)]
    left = [
        apart(got, new) / way for got, new, way in zip(painted(frames, changing), news, whole, strict=True)
    ]
    assert left[0] == pytest.approx(1) and left[-1] < 0.1
    assert all(b < a + 0.03 for a, b in itertools.pairwise(left)), left
    assert max(a - b for a, b in itertools.pairwise(left)) < 0.5, left
    assert sum(0.1 < share < 0.9 for share in left) >= 3, left


def test_a_look_that_is_overtaken_turns_towards_the_newer_one() -> None:
    frames = clip("bikes.mp4", 140, 44)

    def changing(chunk: int) -> StreamSettings:
        prompt = "oil painting" if chunk == 0 else "neon" if chunk < 4 else "watercolor"
        return StreamSettings(prompt=prompt, transition_frames=24)

    got = painted(frames, changing)
    new = painted(frames, lambda _: StreamSettings(prompt="watercolor"))
    left = [apart(a, b) for a, b in zip(got, new, strict=True)]
    assert left[-1] < 0.1 * max(left)
    # The picture goes on from where it was: no chunk differs from the one before as the two looks differ.
    jumps = [apart(a[-1], b[0]) for a, b in itertools.pairwise(got)]
    assert max(jumps) < 0.6 * max(left), (jumps, left)


def test_recaching_leaves_nothing_of_the_old_look() -> None:
    """Without it, the history that was painted in the old look still shows a little.

    Not held along the motion: that too keeps a little of the old look, and it is not what is asked here.
    """
    frames = clip("bikes.mp4", 140, 24)
    new = painted(frames, lambda _: StreamSettings(prompt="noir", steadiness=0.0))

    def left(recache: bool) -> list[float]:
        changed = painted(
            frames,
            lambda i: StreamSettings(prompt="neon" if i < 3 else "noir", recache=recache, steadiness=0.0),
        )
        return [apart(a, b) for a, b in zip(changed, new, strict=True)][3:]

    without, with_it = left(False), left(True)
    assert all(b < 0.5 * a for a, b in zip(without, with_it, strict=True)), (without, with_it)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("bikes.mp4", 0), ("bigbuckbunny.mp4", 0)),
        (("bigbuckbunny.mp4", 0), ("bikes.mp4", 140)),
        (("bikes.mp4", 140), ("carphone_pristine.mp4", 0)),
    ],
)
def test_a_cut_leaves_nothing_of_the_old_scene(old: tuple[str, int], new: tuple[str, int]) -> None:
    """What follows is what a fresh stream paints; without detection the old scene shows through."""
    before, after = clip(*old, 20), clip(*new, 12)

    def chunks(frames: Tensor, **changes: Any) -> list[Tensor]:
        return painted(frames, lambda _: StreamSettings(prompt="neon", **changes))

    spliced = torch.cat([before, after])
    found, missed = chunks(spliced)[5:], chunks(spliced, cuts=False)[5:]
    for with_it, without, fresh in zip(found, missed, chunks(after), strict=True):
        assert torch.equal(with_it, fresh)
        assert apart(without, fresh) > 0.5


def test_a_mix_looks_as_much_like_each_as_it_weighs() -> None:
    frames = clip("bikes.mp4", 140, 8)
    oil = painted(frames, lambda _: StreamSettings(prompt="oil painting"))[-1]
    noir = painted(frames, lambda _: StreamSettings(prompt="noir"))[-1]

    def mixed(weight: float) -> Tensor:
        mix = (PromptShare(prompt="oil painting"), PromptShare(prompt="noir", weight=weight))
        return painted(frames, lambda _: StreamSettings(mix=mix))[-1]

    pictures = [oil, *(mixed(weight) for weight in (1 / 3, 1, 3)), noir]
    nearer = [apart(picture, noir) / apart(oil, noir) for picture in pictures]
    assert all(b < a - 0.01 for a, b in itertools.pairwise(nearer)), nearer
    assert 0.2 < nearer[2] < 0.9, nearer
