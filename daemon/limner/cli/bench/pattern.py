"""Test pictures that say which frame they are, so that a mixed-up or torn frame is noticed.

frames_HWC: uint8 RGBA.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BASES = 3
STAMP_BYTES = 8
# All rows of every frame would cost the bench itself a core at 1080p60: this many stripes of each ...
STRIPE_STEP = 16
# ... and everything of one frame out of so many.
WHOLE_EVERY = 30


class Pattern:
    """Base pictures with the frame number stamped into every row."""

    def __init__(self, width: int, height: int) -> None:
        noise = np.random.default_rng(812)
        self._bases_NHWC = noise.integers(0, 256, (BASES, height, width, 4), dtype=np.uint8)
        self._row_bytes = width * 4
        self._stamp_bytes = min(STAMP_BYTES, self._row_bytes)

    def write(self, sequence: int, target_HWC: NDArray[np.uint8]) -> None:
        """Draw frame `sequence`."""
        np.copyto(target_HWC, self._bases_NHWC[sequence % BASES])
        self._stamps(target_HWC)[:] = self._stamp(sequence)

    def intact(self, sequence: int, frame_HWC: NDArray[np.uint8]) -> bool:
        """Whether this is frame `sequence`, in all that is looked at."""
        if not (self._stamps(frame_HWC) == self._stamp(sequence)).all():
            return False
        step = 1 if sequence % WHOLE_EVERY == 0 else STRIPE_STEP
        rows = slice(sequence % step, None, step)
        skip = -(-self._stamp_bytes // 4)
        base_HWC = self._bases_NHWC[sequence % BASES]
        return bool(np.array_equal(frame_HWC[rows, skip:], base_HWC[rows, skip:]))

    def _stamps(self, frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return frame_HWC.reshape(-1, self._row_bytes)[:, : self._stamp_bytes]

    def _stamp(self, sequence: int) -> NDArray[np.uint8]:
        return np.frombuffer(sequence.to_bytes(STAMP_BYTES, "little"), np.uint8)[: self._stamp_bytes]
