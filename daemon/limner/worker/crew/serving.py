"""What a rank does between hello and the end of a generation. Imports torch."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import cast

import torch

from limner.daemon.sizes import TEST_ENGINES_VARIABLE
from limner.engine.engine import usable_device
from limner.engine.pipeline.group import Group, Meeting, join
from limner.worker.crew.addresses import host_of, own_address
from limner.worker.crew.messages import Gather
from limner.worker.crew.rank_channel import RankChannel

Serve = Callable[[RankChannel, Group], None]
"""Carries out the commands of one generation; what it loaded stays for the next one."""


def device_name(device: str) -> str:
    """What people call it; raises EngineError when it is not there."""
    usable = usable_device(device)
    if usable.type != "cuda":
        return usable.type.upper()
    return f"{torch.cuda.get_device_name(usable)} ({device})"[:200]


def server_for(engine: str, *, device: str, threads: int) -> Serve:
    """What serves an engine's pipeline on this device."""
    torch.set_num_threads(threads)
    if ":" in engine and os.environ.get(TEST_ENGINES_VARIABLE) == "1":
        module, function = engine.split(":", 1)
        return cast(Serve, getattr(importlib.import_module(module), function))
    raise NotImplementedError(engine)


def joined(gather: Gather, endpoint: str) -> Group:
    """Join the generation; raises EngineError when not all come in time."""
    return join(
        Meeting(
            host=gather.host,
            port=gather.port,
            generation=gather.generation,
            rank=gather.rank,
            size=gather.size,
            transport=gather.transport,
            address=own_address(host_of(endpoint)),
        )
    )
