"""Page-locked memory: what others made (a segment of shared memory), made readable for a device's DMA.

A copy from locked pages runs beside everything else at the bus's full speed; one from others goes through a
buffer of the driver first, and the host waits.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

log = logging.getLogger("limner.engine")


class PageLock:
    """Locks memory for as long as it is open. Close it before the memory goes.

    Where that cannot be (no CUDA, or the system lets nobody lock so much), all works as before, slower; the
    log says so.
    """

    def __init__(self, memory: memoryview | NDArray[np.uint8], device: torch.device) -> None:
        """`memory`: writable and in one piece."""
        # An array keeps the mapping alive, so that it cannot go while the device may read it.
        array = np.frombuffer(memory, np.uint8)
        self._device = device
        self.is_locked = device.type == "cuda" and self._lock(array)
        self._bytes: NDArray[np.uint8] | None = array if self.is_locked else None

    def close(self) -> None:
        """Unlock; harmless when that has been done. The device must not be copying any more."""
        if self._bytes is not None:
            _cudart().cudaHostUnregister(self._bytes.ctypes.data)
        self.is_locked, self._bytes = False, None

    def _lock(self, memory: NDArray[np.uint8]) -> bool:
        with torch.cuda.device(self._device):
            fault = int(_cudart().cudaHostRegister(memory.ctypes.data, memory.nbytes, 0))
            if fault:
                with suppress(RuntimeError):  # CUDA keeps the fault for whoever asks next: for this one.
                    torch.zeros(1, device=self._device)
                log.warning(
                    "cannot lock %.1f MiB of shared memory for the GPU (CUDA error %d): frames take longer;"
                    " `ulimit -l` may be too small",
                    memory.nbytes / 2**20,
                    fault,
                )
        return fault == 0


def _cudart() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]  # torch has no types here
