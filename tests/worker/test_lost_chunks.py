"""What becomes of a chunk that is lost over several ranks, by what it was lost for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from limner.engine.pipeline.ring import PipelineError
from limner.worker.engines import FatalEngineError
from limner.worker.model_engine import _TorchStream

LOST = "the ranks of the pipeline cannot go on: "


class Losing:
    """A stream whose only chunk is lost."""

    stream, is_ready = SimpleNamespace(), False

    def __init__(self, why: str) -> None:
        self._why = why

    def collect(self) -> list[Any]:
        raise PipelineError(LOST + self._why)


def collected(why: str) -> list[Any]:
    stream = _TorchStream(cast(Any, Losing(why)), cast(Any, None), 30.0, cast(Any, None), lambda: None)
    stream._taking_ms.append(1.0)
    return stream.collect()


def test_a_chunk_that_a_lost_rank_takes_with_it_is_passed_over() -> None:
    assert collected("rank 1 is gone") == []


@pytest.mark.parametrize(
    ("why", "meant"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", MemoryError),
        ("CUDA error: an illegal memory access was encountered", FatalEngineError),
    ],
)
def test_a_fault_that_would_come_again_is_not(why: str, meant: type[Exception]) -> None:
    with pytest.raises(meant, match="cannot go on"):
        collected(why)
