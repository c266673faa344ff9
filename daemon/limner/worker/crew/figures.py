"""A rank's figures for people, from its last report."""

from __future__ import annotations

from msgspec import structs

from limner.daemon.protocol import RankInfo
from limner.engine.pipeline.commands import Times


def with_times(info: RankInfo, times: Times | None) -> RankInfo:
    """The same rank with what it reported: its blocks, and what its time went into."""
    if times is None:
        return info
    spent_ms = max(times.spent_ms, 1e-9)
    coded = {one.what: one for one in times.coded}
    # Forwards and coding run beside one another.
    busy = min(1.0, (times.busy_ms + sum(one.busy_ms for one in times.coded)) / spent_ms)
    bubble = min(1.0 - busy, times.waiting_ms / spent_ms)
    return structs.replace(
        info,
        first=min(times.held, default=0),
        blocks=len(times.held),
        busy=round(busy, 3),
        bubble=round(bubble, 3),
        transfer=round(1.0 - busy - bubble, 3),
        encode_ms=round(coded["encode"].ms, 2) if "encode" in coded else 0.0,
        decode_ms=round(coded["decode"].ms, 2) if "decode" in coded else 0.0,
    )
