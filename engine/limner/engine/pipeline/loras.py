"""The LoRAs of a rank: in each part of the denoiser that it has in memory, and in each that it gets later.

Each rank reads the files itself, and of them only what its own parts need. Ranks on other machines have files
of their own: a file goes by its name, and by what is in it.
"""

from __future__ import annotations

import functools
import hashlib
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from limner.engine.errors import WeightsError
from limner.engine.files import LoraShare
from limner.engine.pipeline.commands import LoraFile
from limner.engine.wan.lora import LoraPart, Prepared, ReadLora, read_shares

PathOf = Callable[[str], Path]
"""Where the LoRA file of a name is on this machine; raises an error that says where it should be."""


@dataclass(frozen=True, kw_only=True)
class ReadyLoras(Prepared):
    """LoRAs that are read on this rank, part by part."""

    files: tuple[LoraFile, ...]
    by_part: Mapping[LoraPart, Prepared]


class RankLoras:
    """For any thread but where it says otherwise."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, path_of: PathOf) -> None:
        """`shapes`: of the whole denoiser's parameters; `dtype`: what it computes in."""
        self._shapes, self._dtype, self._path_of = shapes, dtype, path_of
        self._parts: weakref.WeakKeyDictionary[nn.Module, LoraPart] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._in_force: tuple[LoraFile, ...] = ()

    @property
    def in_force(self) -> tuple[LoraFile, ...]:
        """What all parts have."""
        return self._in_force

    def add(self, module: nn.Module, path: str = "") -> None:
        """A part that has just been loaded, `path` in the denoiser: it has what is in force from now on.

        Raises as `read`.
        """
        part = LoraPart(module, self._dtype, path)
        with self._lock:
            if self._in_force:
                part.use(part.prepared(self._loras(self._in_force)))
                _settle(module)  # Whoever changes it next may do so on another queue.
            self._parts[module] = part

    def read(self, files: Sequence[LoraFile]) -> ReadyLoras:
        """Read and check LoRAs; nothing changes.

        Raises WeightsError, naming the file, when it is no LoRA for this model or not the one that is meant,
        and what `path_of` raises when there is none.
        """
        loras = self._loras(files)
        with self._lock:
            parts = list(self._parts.values())
        by_part = {part: part.prepared(loras) for part in parts}
        return ReadyLoras(pairs={}, values={}, files=tuple(files), by_part=by_part)

    def use(self, ready: ReadyLoras) -> int:
        """Put these LoRAs, and no others, in force. On the thread that computes, between two forwards.

        Returns another number when forwards are made of other products, or they lie elsewhere. Parts that
        came since they were read are read now; raises as `read` then.
        """
        with self._lock:
            parts = dict(self._parts)
            late = [part for part in parts.values() if part not in ready.by_part]
            loras = self._loras(ready.files) if late else []
            by_part = {**ready.by_part, **{part: part.prepared(loras) for part in late}}
            for part in parts.values():
                part.use(by_part[part])
            self._in_force = ready.files
            return hash(tuple(part.launches for part in parts.values())) if ready.files else 0

    def _loras(self, files: Sequence[LoraFile]) -> list[ReadLora]:
        shares = []
        for file in files:
            path = self._path_of(file.name)
            if digest_of(path) != file.sha256:
                raise WeightsError(
                    f"{path} is another file than {file.name} on the machine that paints; copy that one here"
                )
            shares.append(LoraShare(path=path, weight=file.weight))
        return read_shares(shares, self._shapes)


def digest_of(path: Path) -> str:
    """SHA-256 of a file; read once, unless it changes. WeightsError when there is none."""
    try:
        info = path.stat()
        return _digest(path, (info.st_mtime_ns, info.st_size, info.st_ino))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error


@functools.lru_cache(maxsize=64)
def _digest(path: Path, _stamp: tuple[int, int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def nowhere(name: str) -> Path:
    """A `PathOf` where there are no LoRAs."""
    raise WeightsError(f"there is no LoRA {name} here")


def _settle(module: nn.Module) -> None:
    device = next(module.parameters()).device
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
