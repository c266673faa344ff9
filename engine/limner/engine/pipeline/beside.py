"""Slow work beside the painting, each on a thread of its own that ends with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import TypeVar

import torch

from limner.engine.dit.model import Block

Result = TypeVar("Result")


def beside(work: Callable[[], Result], device: torch.device) -> Future[Result]:
    """Do something while others paint. What it did on the device is done when the future is."""

    def load() -> Result:
        torch.set_num_threads(1)  # Of this thread: the others are for painting.
        result = work()
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
        return result

    done: Future[Result] = Future()
    threading.Thread(target=_settle, args=(done, load), name="limner-beside", daemon=True).start()
    return done


def blocks_beside(
    block_of: Callable[[int], Block], layers: Iterable[int], after: Future[dict[int, Block]] | None = None
) -> Future[dict[int, Block]]:
    """Load blocks while others paint. They are on their device when the future is done.

    `after`: what is to be loaded before, for all of it goes through one disk.
    """
    wanted = list(layers)

    def load() -> dict[int, Block]:
        if after is not None:
            wait([after])
        torch.set_num_threads(1)  # Of this thread: the others are for painting.
        blocks = {layer: block_of(layer) for layer in wanted}
        device = next(iter(blocks.values())).modulation.device
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
        return blocks

    done: Future[dict[int, Block]] = Future()
    threading.Thread(target=_settle, args=(done, load), name="limner-blocks", daemon=True).start()
    return done


def _settle(done: Future[Result], load: Callable[[], Result]) -> None:
    try:
        done.set_result(load())
    except BaseException as fault:  # It belongs to who waits for it.
        done.set_exception(fault)
