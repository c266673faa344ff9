"""Notices a picture that came out blank: one colour all over, although the source has something to see.

That is what numbers that are none (NaN) look like, from weights that are broken or a type that is too small
for them, and they never heal: every later picture attends to them. A dark scene painted black is no such
thing, so only a source with some contrast counts. A few hundred pixels a frame are looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STRIDE = 16
"""Every so manieth row and column is looked at."""
LEAST_CONTRAST = 32
"""Grey levels between the darkest and the lightest pixel of a source that has something to see."""
MOST_TIMES = 2
"""So often a stream is begun anew, in the hope that it was an accident."""
NOTE = "the picture came out blank and was begun anew"
ADVICE = (
    "the picture comes out blank: check the model's files (limner models verify), or choose bf16 weights"
    " (limner daemon --weights bf16)"
)

Picture = NDArray[np.uint8]


class BlankError(Exception):
    """Every picture comes out blank; the message says what to do."""


class BlankWatch:
    """Watches one stream: `took` for each chunk that goes in, `is_blank` for each that comes out."""

    def __init__(self) -> None:
        self._contrasts: deque[int] = deque()
        self._is_blank = False
        self._begun_anew = 0
        """How often that was tried since the last good picture."""

    def took(self, frames: Sequence[Picture]) -> None:
        """Note a chunk of the source. Its ends will do; a scene that begins or ends with black has a cut."""
        self._contrasts.append(min(contrast(frames[0]), contrast(frames[-1])))

    def is_blank(self, frame_HWC: Picture, chunks: int = 1) -> bool:
        """Return whether the painting of the oldest `chunks` is blank, by one frame of it.

        Raises BlankError when to begin anew did not help.
        """
        least = min((self._contrasts.popleft() for _ in range(chunks) if self._contrasts), default=0)
        self._is_blank = least >= LEAST_CONTRAST and contrast(frame_HWC) == 0
        if not self._is_blank:
            self._begun_anew = 0
        elif self._begun_anew >= MOST_TIMES:
            raise BlankError(ADVICE)
        return self._is_blank

    def lost(self) -> None:
        """Note that the oldest chunk that went in will not come out."""
        if self._contrasts:
            self._contrasts.popleft()

    def begin_anew(self) -> None:
        """Another stream follows; what was inside is gone."""
        self._contrasts.clear()
        self._begun_anew += self._is_blank
        self._is_blank = False


def contrast(frame_HWC: Picture) -> int:
    """Return the largest difference within a colour, 0..255, of the pixels that are looked at."""
    seen = frame_HWC[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE, :3]
    if not seen.size:
        return 0
    return int((seen.max(axis=(0, 1)).astype(np.int16) - seen.min(axis=(0, 1))).max())
