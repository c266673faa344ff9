"""Which frames of the source a painted chunk shows, where the painter is some frames behind.

TAEHV, the small autoencoder, makes a latent frame of the four frames of a chunk, and what that is painted as
is the four that end with the first of them. Each painted frame goes out with the time of the frame that it
shows, so that sound and picture, and the painted and the plain picture, are of one moment.
"""

from __future__ import annotations

from collections.abc import Sequence

from limner.daemon.worker_protocol import Give


class Behind:
    """Of one session. Without frames to be behind, each painted frame is of the frame in its place."""

    def __init__(self, frames: int) -> None:
        """`frames`: how many."""
        self.frames = frames
        self._late: list[Give | None] = [None] * frames

    def owes(self) -> bool:
        """Whether frames went in that no painted one shows yet."""
        return any(self._late)

    def begin_anew(self) -> None:
        """Another picture follows: what was not shown is not to be."""
        self._late = [None] * self.frames

    def shown(self, gives: Sequence[Give], painted: int) -> list[tuple[int, Give]]:
        """Return the places of those of `painted` frames that show one of the source, and which.

        `gives`: those that the chunk was made of; where they are fewer than painted ones, the last of them
        stood in for the others.
        """
        missing = painted - len(gives)
        sources = [*self._late, *gives, *[None] * missing]
        self._late = sources[painted:]
        return [(place, give) for place, give in enumerate(sources[:painted]) if give is not None]
