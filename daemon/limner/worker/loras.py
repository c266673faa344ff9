"""The LoRAs that styles ask for: read on a thread of their own, put in force between two chunks.

A model has one set of LoRAs for all its sessions: that of the session that changed its own last.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from limner.daemon.protocol import Lora
from limner.engine.errors import ChunkLostError

if TYPE_CHECKING:
    from limner.engine.engine import Engine
    from limner.engine.overlap import AnyLanes
    from limner.engine.wan.lora import Prepared

log = logging.getLogger("limner.worker")
ENDING = ".safetensors"
_Stamp = tuple[int, int, int] | None


class LoraError(Exception):
    """There is no such LoRA on this machine; the message says where it should be."""


class LoraDesk:
    """For one engine and one thread, which pushes. Whatever is wrong with a LoRA, painting goes on."""

    def __init__(self, engine: Engine, lanes: AnyLanes, folder: Path) -> None:
        self._engine, self._lanes, self._folder = engine, lanes, folder
        self._reading: ThreadPoolExecutor | None = None
        self._wanted: tuple[Lora, ...] = ()
        self._coming: Future[Prepared] | None = None
        self._failed_with: list[_Stamp] | None = None
        """What the files were when they could not be used; None: they could."""
        self.note = ""
        """Why what is wanted is not painted with; empty: it is."""

    def want(self, loras: Sequence[Lora]) -> None:
        """Paint with these, and no others, as soon as they are read. Of several wishes the newest counts."""
        wanted = tuple(loras)
        if wanted == self._wanted and self._failed_with in (None, self._stamps()):
            return
        # A file that was missing or wrong, and is another one now, is read again.
        self._wanted, self._failed_with = wanted, None
        if self._reading is None:
            self._reading = ThreadPoolExecutor(1, "limner-loras")
        if self._coming is not None:
            self._coming.cancel()
        self._coming = self._reading.submit(self._read, wanted)
        self.note = f"loading the LoRA {', '.join(lora.name for lora in wanted)}" if wanted else ""

    def put_in_force(self) -> None:
        """Put in force what has been read since. Before a push; waits for the chunks before it."""
        if self._engine.lora_fault:
            self.note, self._engine.lora_fault = f"painted without LoRAs: {self._engine.lora_fault}", ""
            self._failed_with = self._stamps()
        if self._coming is None or not self._coming.done():
            return
        coming, self._coming = self._coming, None
        if isinstance(coming.exception(), ChunkLostError):  # Ranks were lost: others will read it.
            assert self._reading is not None
            self._coming = self._reading.submit(self._read, self._wanted)
            return
        try:
            self._use(coming.result())
            self.note = ""
            return
        # Of files from anywhere, and of memory that may not suffice: a look fails, not the stream.
        except Exception as error:
            log.warning("a LoRA cannot be painted with", exc_info=error)
            self._use(self._engine.read_loras([]))
            self.note = f"painted without LoRAs: {_reason(error)}"
            self._failed_with = self._stamps()

    def close(self) -> None:
        """End the thread."""
        if self._reading is not None:
            self._reading.shutdown(cancel_futures=True)

    def _stamps(self) -> list[_Stamp]:
        return [_stamp(_place(self._folder, lora.name)) for lora in self._wanted]

    def _use(self, prepared: Prepared) -> None:
        self._lanes.between(lambda: self._engine.use_loras(prepared))

    def _read(self, loras: Sequence[Lora]) -> Prepared:
        from limner.engine.files import LoraShare  # noqa: PLC0415  # torch loads under a progress report

        return self._engine.read_loras(
            [LoraShare(path=lora_path(self._folder, lora.name), weight=lora.weight) for lora in loras]
        )


def lora_path(folder: Path, name: str) -> Path:
    """Return the file of a LoRA; LoraError when there is none."""
    path = _place(folder, name)
    if path.parent != folder or not path.is_file():
        raise LoraError(f"there is no LoRA {path.stem!r}; put {path.name} into {folder}")
    return path


def _place(folder: Path, name: str) -> Path:
    return folder / f"{name.removesuffix(ENDING)}{ENDING}"


def _stamp(path: Path) -> _Stamp:
    try:
        info = path.stat()
    except (OSError, ValueError):
        return None
    return info.st_mtime_ns, info.st_size, info.st_ino


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text:
        return "there is not enough memory for them"
    return text
