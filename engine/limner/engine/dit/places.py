"""Where the frames of a stream stand in a window of sinks and a ring. Pure arithmetic on the host."""

from __future__ import annotations

Slots = tuple[int, ...]


def slot_of(frame: int, *, sinks: int, window: int) -> int:
    """Slot that the stream's latent frame number `frame` goes to."""
    return frame if frame < window else sinks + (frame - sinks) % (window - sinks)


def slot_places(count: int, *, sinks: int, window: int) -> Slots:
    """Place in the window of each filled slot after `count` latent frames; the newest has the last place."""
    if count <= window:
        return tuple(range(count))
    ring = window - sinks
    oldest = (count - sinks) % ring
    return (*range(sinks), *(sinks + (slot - oldest) % ring for slot in range(ring)))
