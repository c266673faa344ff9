"""A rank's device: what it is, what memory it has, and what its faults mean. Imports torch."""

from __future__ import annotations

import gc
import json
import os
import uuid
from pathlib import Path
from typing import Any

import torch

from limner.daemon.sizes import TEST_ENGINES_VARIABLE
from limner.engine.engine import usable_device
from limner.worker.model_plan import card_of
from limner.worker.model_terms import fault_named

PRETENDED_MEMORY = "LIMNER_TEST_RANK_MEMORY"
"""For tests of what has no card: by seat, bytes in all and free, as JSON. With LIMNER_TEST_ENGINES=1 only."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def device_name(device: str) -> str:
    """What people call it; raises EngineError when it is not there."""
    usable = usable_device(device)
    if usable.type != "cuda":
        return usable.type.upper()
    return f"{torch.cuda.get_device_name(usable)} ({device})"[:200]


def about_device(device: str, seat: int) -> dict[str, Any]:
    """What a `Hello` says of the device; raises EngineError when it is not there."""
    facts: dict[str, Any] = {"device_name": device_name(device), "place": _place(device)}
    if usable_device(device).type == "cuda":
        card = card_of(device)
        properties = torch.cuda.get_device_properties(device)
        return facts | {
            "total_bytes": card.total_bytes,
            "free_bytes": card.free_bytes,
            "capability": card.capability,
            "processors": properties.multi_processor_count,
        }
    if in_test() and (pretended := json.loads(os.environ.get(PRETENDED_MEMORY, "{}")).get(str(seat))):
        total_bytes, free_bytes = pretended
        return facts | {"total_bytes": total_bytes, "free_bytes": free_bytes, "capability": (9, 0)}
    return facts


def _place(device: str) -> str:
    """A name of the device that no other machine has, so far as it can tell."""
    if usable_device(device).type == "cuda":
        # torch's own stubs do not know it, and old ones do not have it.
        own = getattr(torch.cuda.get_device_properties(device), "uuid", None)
        if own is not None:
            return str(own)
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return f"{uuid.getnode():x}"


def in_test() -> bool:
    """Whether engines of tests may be used."""
    return os.environ.get(TEST_ENGINES_VARIABLE) == "1"


def is_no_memory(error: BaseException) -> bool:
    """Whether a fault is that there is not enough memory, however torch says it."""
    return isinstance(error, MemoryError) or isinstance(fault_named(str(error)), MemoryError)


def free_memory() -> None:
    """Give back to the device what a generation that is over has left."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch has no types here
        torch.cuda.empty_cache()
