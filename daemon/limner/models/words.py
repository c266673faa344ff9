"""Bytes as people say them."""

from __future__ import annotations

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size(size_bytes: int) -> str:
    """Return "11.4 GB", "510 MB", "0 bytes": powers of 1000, as disks and hubs count."""
    value, unit = float(size_bytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if value < 99.95 and unit > 2 else f"{value:.0f} {_UNITS[unit]}"
