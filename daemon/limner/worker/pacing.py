"""Which of the waiting frames are painted when there are more than can be. Pure functions of times."""

from __future__ import annotations

from collections.abc import Sequence


def pick_evenly(pts_ns: Sequence[int], count: int, *, last_ns: int | None) -> list[int]:
    """Return the indices of `count` frames, evenly spaced in time from the last painted one to the newest.

    `pts_ns` ascends. The newest is always among them, so the delay cannot grow; `last_ns` is the time of the
    last frame that was painted before, None at the start.
    """
    if len(pts_ns) <= count:
        return list(range(len(pts_ns)))
    newest = pts_ns[-1]
    start = last_ns if last_ns is not None and last_ns < pts_ns[0] else pts_ns[0] - 1
    picked: list[int] = []
    for number in range(1, count + 1):
        wanted = start + (newest - start) * number / count
        # Keep enough frames behind this one for those still to be picked.
        first = picked[-1] + 1 if picked else 0
        last = len(pts_ns) - (count - number) - 1
        picked.append(min(range(first, last + 1), key=lambda i: abs(pts_ns[i] - wanted)))
    picked[-1] = len(pts_ns) - 1
    return picked


def thin_out(pts_ns: Sequence[int], *, last_ns: int | None) -> int:
    """Return the index of the waiting frame that is missed least: whose neighbours are nearest to each other.

    Never the newest. `pts_ns` ascends and has two frames or more.
    """
    before = [last_ns if last_ns is not None else pts_ns[0], *pts_ns[:-2]]
    gaps = [after - earlier for earlier, after in zip(before, pts_ns[1:], strict=True)]
    return gaps.index(min(gaps))
