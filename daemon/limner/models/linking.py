"""One content at two places."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

_BLOCK_BYTES = 8 * 2**20


def link_or_copy(source: Path, target: Path, advance: Callable[[int], None]) -> None:
    """Have the content of `source` at `target` too: as a link where the disk can, else as a copy."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        with source.open("rb") as read, target.open("wb") as written:
            while block := read.read(_BLOCK_BYTES):
                written.write(block)
                advance(len(block))
        shutil.copymode(source, target)
    else:
        advance(source.stat().st_size)
