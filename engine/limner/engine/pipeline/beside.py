"""Slow work beside the painting, each on a thread of its own that ends with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future

import torch

from limner.engine.dit.model import Block


def blocks_beside(block_of: Callable[[int], Block], layers: Iterable[int]) -> Future[dict[int, Block]]:
    """Load blocks while others paint. They are on their device when the future is done."""
    wanted = list(layers)

    def load() -> dict[int, Block]:
        torch.set_num_threads(1)  # Of this thread: the others are for painting.
        blocks = {layer: block_of(layer) for layer in wanted}
        device = next(iter(blocks.values())).modulation.device
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
        return blocks

    done: Future[dict[int, Block]] = Future()
    threading.Thread(target=_settle, args=(done, load), name="limner-blocks", daemon=True).start()
    return done


def _settle(done: Future[dict[int, Block]], load: Callable[[], dict[int, Block]]) -> None:
    try:
        done.set_result(load())
    except BaseException as fault:  # It belongs to who waits for the blocks.
        done.set_exception(fault)
