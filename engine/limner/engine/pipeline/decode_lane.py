"""Decoding on a rank: beside its blocks, on a thread and a queue of the device of its own.

A chunk takes as long to decode as many forwards take. In one order with them it would hold up the ring.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future

import torch

from limner.engine.clock import StageClock
from limner.engine.fusing import fusing
from limner.engine.pipeline.beside import beside
from limner.engine.pipeline.decoders import Decoders
from limner.engine.queues import CudaQueue, HostQueue, Queue, cuda_stream

_COLD_JOBS = 16
"""Until then libraries still compile and choose."""
STUCK_S, COLD_STUCK_S = 0.5, 30.0
"""A job that takes longer will not end: the rank shows no more life then."""

Job = Callable[[], object]


class DecodeLane:
    """Does jobs in their order; begun for each generation, and closed with it."""

    def __init__(
        self, decoders: Decoders, on_fault: Callable[[BaseException], object], fused_by: str | None = None
    ) -> None:
        """Jobs have `decoders` to themselves. `on_fault`: a job failed. `fused_by`: see fusing.py."""
        self.decoders, self.queue = decoders, decoding_queue(decoders.files.device)
        self._on_fault, self._fused_by = on_fault, fused_by
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done = 0
        self._began_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="limner-decoding", daemon=True)
        self._thread.start()

    def do(self, job: Job) -> None:
        """As soon as the jobs before are done."""
        self._jobs.put(job)

    def prepare(self, sizes: Iterable[tuple[int, int]]) -> Future[None]:
        """Load the decoder on a thread of its own, and try it out; see `Decoders.try_out`.

        The lane may be about to hand decoders over and let go of the weights: not before that is done.
        """
        let_go: Future[None] = Future()
        self.do(lambda: let_go.set_result(None))

        def load() -> None:
            let_go.result()
            self.decoders.hold()
            self.decoders.try_out(sizes)

        return beside(load, self.decoders.files.device)

    def close(self) -> None:
        """Finish what was begun, and end."""
        self._jobs.put(None)
        self._thread.join()

    @property
    def is_stuck(self) -> bool:
        """The decoder is at something that should have ended. For any thread."""
        began_s = self._began_s
        limit_s = STUCK_S if self._done >= _COLD_JOBS else COLD_STUCK_S
        return began_s is not None and time.monotonic() - began_s > limit_s

    def clock(self) -> StageClock:
        """Begins to measure; on the lane."""
        self._began_s = time.monotonic()
        return StageClock(self.decoders.files.device)

    def _run(self) -> None:
        with torch.inference_mode(), self.queue, fusing(self._fused_by):
            while (job := self._jobs.get()) is not None:
                try:
                    job()
                except BaseException as fault:  # The top of the thread.
                    self._on_fault(fault)
                self._began_s = None
                self._done += 1


def decoding_queue(device: torch.device) -> Queue:
    """Apart from that on which chunks are finished on rank 0; what is nearly done goes first."""
    if device.type == "cuda":
        return CudaQueue(cuda_stream(device, "decoding for ranks", priority=-1))
    return HostQueue()
