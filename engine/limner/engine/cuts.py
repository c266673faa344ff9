"""Where the scene changes: a hard cut must not smear the old scene over the new one.

Frames are compared as thumbnails. A cut leaves no likeness to the frame before, even when the picture may
have been shifted (a pan) or its exposure changed; that is far above what this picture does anyway (noise,
turmoil); and it stays: a camera flash is over after a frame or two. What goes gradually is no cut.

A chunk holds one scene or the other, never both, so a cut inside a chunk moves to the nearer border.

Legend: T frames, C colours, H×W pixels, h×w of a thumbnail or a part of one, Y×X shifts.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from limner.engine.state import StreamState

THUMBNAIL_HW = (18, 32)
"""Coarse enough that noise and small movement vanish, fine enough to tell scenes apart."""
SAMPLES = 4
"""Pixels down and across that are averaged for one of a thumbnail, at least: more would cost time alone."""
LARGEST_SHIFT_HW = (3, 6)
"""A pan moves the picture up to this much of a thumbnail in a frame, a fifth of it. With more, chance would
find a likeness between any two scenes."""
LEAST_DIFFERENCE = 0.08
"""Scenes differ by so much at least, on average in 0..1. Those of real clips by 0.14 and more; the last step
of a fade to black in a quarter of a second by 0.07."""
LEAST_MOVEMENT = 0.04
"""What differs less, on average in 0..1, counts as still: there is no need to look closer."""
LEAST_UNLIKENESS = 0.35
"""Pictures less unlike than this are of one scene. Scenes of real clips: 0.39 and more; pans: 0.05."""
LEAST_RISE = 2.0
"""A cut is so many times less like the frame before than the liveliest of the frames before it were. The real
cut out of the most motion: 4. A lorry that drives through the picture: 1.5."""
LEVEL_FRAMES = 8
"""So many frames say how lively the picture is."""
LEAST_LEVEL_FRAMES = 3
"""Of fewer frames of a scene that is not known, and nothing is a cut: it may be mere turmoil."""
FLASH_FRAMES = 2
"""What is over after so many frames was no cut."""


class CutDetector:
    """Finds scene cuts in the chunks of one stream. On the host: `push` waits for frames on a device."""

    def __init__(self) -> None:
        self._last_Chw: Tensor | None = None
        self._before_Chw: Tensor | None = None
        """The last frame before what may be a cut."""
        self._stayed = 0
        """For so many frames, what may be a cut has stayed."""
        self._level: deque[float] = deque(maxlen=LEVEL_FRAMES)
        self._is_due = False

    def push(self, frames_TCHW: Tensor) -> int | None:
        """`watch` of uint8 frames."""
        return self.watch(thumbnails(frames_TCHW))

    def watch(self, thumbnails_TChw: Tensor) -> int | None:
        """Where in these frames (3 or more) a new scene begins, 0..T-1, for `aligned`; None: nowhere.

        In the first half of the chunk that is certain. In the second it is suspected, and it begins with the
        next chunk (0 then), unless it turns out to be a flash (None). Of several in a chunk the first counts.
        """
        at = 0 if self._is_due else None
        since = 0  # What was suspected in the chunk before begins with this one.
        for t, frame_Chw in enumerate(thumbnails_TChw):
            seen = self._watch(frame_Chw)
            if seen == "suspect":
                since = t
            elif seen == "cut" and at is None:
                at = since
        self._is_due = at is not None and not is_early(at, len(thumbnails_TChw))
        return since if at is None and self._before_Chw is not None else at

    def reset(self) -> None:
        """The next chunk is the first of a stream."""
        self._last_Chw = self._before_Chw = None
        self._level.clear()
        self._stayed, self._is_due = 0, False

    def state(self) -> StreamState:
        """What it remembers."""
        pictures = {"last": self._last_Chw, "before": self._before_Chw}
        return StreamState(
            tensors={name: picture.clone() for name, picture in pictures.items() if picture is not None},
            facts={"stayed": self._stayed, "level": list(self._level), "is_due": self._is_due},
        )

    def restore(self, state: StreamState) -> None:
        """Go on from a state."""
        self._last_Chw, self._before_Chw = (
            None if (picture := state.tensors.get(name)) is None else picture.cpu()
            for name in ("last", "before")
        )
        self._stayed, self._is_due = state.fact("stayed", int), state.fact("is_due", bool)
        self._level = deque(state.fact("level", list), maxlen=LEVEL_FRAMES)

    def _watch(self, frame_Chw: Tensor) -> Literal["suspect", "cut"] | None:
        last_Chw, self._last_Chw = self._last_Chw, frame_Chw
        if last_Chw is None:
            return None
        if self._before_Chw is not None:
            return self._wait(self._before_Chw, frame_Chw)
        change = unlikeness(last_Chw, frame_Chw)
        if self._is_far_above_level(change) and are_scenes(last_Chw, frame_Chw):
            self._before_Chw, self._stayed = last_Chw, 1
            return "suspect"
        self._level.append(change)
        return None

    def _is_far_above_level(self, change: float) -> bool:
        return len(self._level) >= LEAST_LEVEL_FRAMES and change >= LEAST_RISE * max(self._level)

    def _wait(self, before_Chw: Tensor, frame_Chw: Tensor) -> Literal["cut"] | None:
        """Whether what was suspected has stayed."""
        self._stayed += 1
        if not are_scenes(before_Chw, frame_Chw):
            self._before_Chw = None
        elif self._stayed > FLASH_FRAMES:
            self._before_Chw = None
            self._level.clear()
            return "cut"
        return None


def is_early(at: int, frames: int) -> bool:
    """Whether a new scene that begins at this frame of a chunk gets the whole chunk, or only the next one."""
    return 2 * at < frames


def aligned(frames_TCHW: Tensor, at: int) -> Tensor:
    """The chunk with one scene alone, when a new one begins at frame `at`.

    Begins it early in the chunk, its first frame stands for the frames before it; otherwise the old scene's
    last frame stands for the frames from it on, and the next chunk begins the new scene.
    """
    if at == 0:
        return frames_TCHW
    frames_TCHW = frames_TCHW.clone()
    if is_early(at, len(frames_TCHW)):
        frames_TCHW[:at] = frames_TCHW[at]
    else:
        frames_TCHW[at:] = frames_TCHW[at - 1]
    return frames_TCHW


def thumbnails(frames_TCHW: Tensor) -> Tensor:
    """Area averages [T, C, h, w] of uint8 frames, of a regular sample of pixels; float32 0..1, on the CPU."""
    down, across = (
        max(1, size // (small * SAMPLES))
        for size, small in zip(frames_TCHW.shape[-2:], THUMBNAIL_HW, strict=True)
    )
    sample = frames_TCHW[..., ::down, ::across].cpu().float()
    return functional.adaptive_avg_pool2d(sample, THUMBNAIL_HW) / 255


def are_scenes(a_Chw: Tensor, b_Chw: Tensor) -> bool:
    """Whether two thumbnails show different scenes."""
    return difference(a_Chw, b_Chw) >= LEAST_DIFFERENCE and unlikeness(a_Chw, b_Chw) >= LEAST_UNLIKENESS


def difference(a_Chw: Tensor, b_Chw: Tensor) -> float:
    """Mean absolute difference, 0..1."""
    return float((a_Chw - b_Chw).abs().mean())


def unlikeness(a_Chw: Tensor, b_Chw: Tensor) -> float:
    """How little two thumbnails show the same, whatever the exposure, 0..2.

    0 for (nearly) the same picture, else 1 less their correlation at the best of small shifts; a picture that
    shows nothing has none.
    """
    if difference(a_Chw, b_Chw) < LEAST_MOVEMENT:
        return 0.0
    return 1 - (_found_in(a_Chw, b_Chw) + _found_in(b_Chw, a_Chw)) / 2


def _found_in(a_Chw: Tensor, b_Chw: Tensor) -> float:
    """Correlation of the middle of b with the part of a that is most like it."""
    y, x = LARGEST_SHIFT_HW
    h, w = THUMBNAIL_HW[0] - 2 * y, THUMBNAIL_HW[1] - 2 * x
    parts_CYXhw = _centred(a_Chw.unfold(1, h, 1).unfold(2, w, 1))
    middle_Chw = _centred(b_Chw[:, y : y + h, x : x + w])
    products_YX = torch.einsum("cyxhw,chw->yx", parts_CYXhw, middle_Chw)
    norms_YX = parts_CYXhw.square().sum((0, 3, 4)).sqrt() * middle_Chw.norm()
    return float((products_YX / norms_YX.clamp(min=1e-6)).max())


def _centred(x: Tensor) -> Tensor:
    return x - x.mean((-2, -1), keepdim=True)
