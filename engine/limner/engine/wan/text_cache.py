"""Embeddings on disk, so that a prompt is encoded once in a machine's life. Safe for several processes.

One safetensors file a prompt, named after a hash: of the prompt only that is kept. S tokens, E their width.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from limner.engine.blend import SoftText
from limner.engine.text import TextEmbedding

log = logging.getLogger(__name__)
LIMIT_BYTES = 512 << 20
_ENDING, _PARTIAL = ".text.safetensors", ".partial"
_STALE_S = 3600.0
"""A file that somebody has been writing for so long is left over from a crash."""
_DAMAGED = (SafetensorError, KeyError, ValueError, RuntimeError)


def identity_of(paths: Iterable[Path], *facts: str) -> str:
    """Changes with the files (names, sizes, times) at these paths, folders included, and with the facts."""
    digest = hashlib.sha256("\0".join(facts).encode())
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            with contextlib.suppress(OSError):
                info = file.stat()
                if file.is_file():
                    digest.update(f"\0{file.name}\0{info.st_size}\0{info.st_mtime_ns}".encode())
    return digest.hexdigest()


class TextCache:
    """Embeddings of one text encoder in a folder that encoders share."""

    def __init__(
        self, folder: Path, identity: str, *, dim: int, length: int, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        """`identity`: of the encoder. `dim`, `length`: of its texts. `limit_bytes`: of the whole folder."""
        self._folder, self._identity = folder, identity
        self._dim, self._length = dim, length
        self._limit_bytes = limit_bytes

    def get(self, prompt: str) -> TextEmbedding | None:
        """What was put for this prompt; None when there is nothing, or nothing whole."""
        path = self._path(prompt)
        try:
            rows_SE, unknown = _read(path)
            if not 1 <= len(rows_SE) <= self._length or rows_SE.shape[1:] != (self._dim,):
                raise ValueError(f"a text of the shape {list(rows_SE.shape)}")
            # What was used last is removed last.
            os.utime(path)
        except OSError:
            return None
        except _DAMAGED as error:
            log.warning("%s is damaged (%s): the prompt is encoded again", path, error)
            return None
        weight_S = torch.ones(len(rows_SE))
        text = SoftText(embedding_LE=rows_SE, weight_L=weight_S, zeros=self._length - len(rows_SE))
        return TextEmbedding(text=text, unknown=unknown)

    def put(self, prompt: str, embedding: TextEmbedding) -> None:
        """Keep it. What was used least lately goes when there is too much. A full disk is no fault."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._path(prompt)
            _write(path, embedding)
            self._make_room(path)
        except OSError as error:
            log.warning("cannot keep a text in %s (%s): it will be encoded again", self._folder, error)

    def _path(self, prompt: str) -> Path:
        key = hashlib.sha256(f"{self._identity}\0{prompt}".encode()).hexdigest()[:40]
        return self._folder / f"{key}{_ENDING}"

    def _make_room(self, newest: Path) -> None:
        found = []
        for path in self._folder.iterdir():
            # Another process may remove what this one has just seen.
            with contextlib.suppress(FileNotFoundError):
                info = path.stat()
                if path.name.endswith(_ENDING) and path != newest:
                    found.append((info.st_mtime_ns, info.st_size, path))
                elif path.name.endswith(_PARTIAL) and time.time() - info.st_mtime > _STALE_S:
                    path.unlink(missing_ok=True)
        room_bytes = self._limit_bytes - newest.stat().st_size
        for _, size_bytes, path in sorted(found, reverse=True):
            room_bytes -= size_bytes
            if room_bytes < 0:
                path.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Tensor, tuple[str, ...]]:
    """Rows [S, E] and the words that do nothing; an OSError without the file, one of _DAMAGED when wrong."""
    if not path.is_file():
        raise FileNotFoundError(path)
    before = _file_of(path)
    try:
        return _parsed(path)
    except _DAMAGED:
        # It is opened twice to be mapped: another process may have put a new one there in between.
        if _file_of(path) == before:
            raise
        return _read(path)


def _file_of(path: Path) -> tuple[int, int]:
    """Which file it is just now."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def _parsed(path: Path) -> tuple[Tensor, tuple[str, ...]]:
    with safe_open(path, framework="pt") as file:
        facts = file.metadata() or {}
        # A copy: the file is mapped, and may be replaced.
        rows_SE = file.get_tensor("rows").clone()
    if facts["sha256"] != _checksum(rows_SE):
        raise ValueError("its checksum is wrong")
    return rows_SE.float(), tuple(json.loads(facts["unknown"]))


def _write(path: Path, embedding: TextEmbedding) -> None:
    rows_SE = embedding.text.embedding_LE
    half_SE = rows_SE.to(torch.bfloat16)
    if torch.equal(half_SE.float(), rows_SE):
        rows_SE = half_SE
    facts = {"sha256": _checksum(rows_SE), "unknown": json.dumps(embedding.unknown)}
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=_PARTIAL, delete=False) as file:
        try:
            file.write(save({"rows": rows_SE.contiguous()}, metadata=facts))
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _checksum(rows_SE: Tensor) -> str:
    return hashlib.sha256(rows_SE.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()
