"""Sizes as people write them."""

from __future__ import annotations

import re

import typer

from limner.daemon.protocol import MAX_SIDE


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) in pixels of "1920x1080"; raises BadParameter."""
    found = re.fullmatch(r"\s*(\d{1,5})\s*[x×]\s*(\d{1,5})\s*", text)
    if not found:
        raise typer.BadParameter(f"--size must be like 1920x1080, not {text!r}")
    width, height = int(found[1]), int(found[2])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise typer.BadParameter(f"--size must be 1x1 to {MAX_SIDE}x{MAX_SIDE}, not {text!r}")
    return width, height
