"""Checksums of files, as the hub publishes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

_BLOCK_BYTES = 8 * 2**20


def sha256_of(path: Path, advance: Callable[[int], None]) -> str:
    """Return the SHA-256 of a file; `advance` hears of every block, and may raise to stop."""
    digest = hashlib.sha256()
    _feed(path, digest.update, advance)
    return digest.hexdigest()


def git_id_of(path: Path) -> str:
    """Return the id that git gives to a file: SHA-1 over a header with its size, and its content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    _feed(path, digest.update, lambda _: None)
    return digest.hexdigest()


def _feed(path: Path, update: Callable[[bytes], None], advance: Callable[[int], None]) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            update(block)
            advance(len(block))
