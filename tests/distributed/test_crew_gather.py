"""What is said when ranks cannot be gathered."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from limner.engine.pipeline.ring import PipelineError
from limner.worker.crew.engine import ATTEMPTS, CrewEngine


class Failing(CrewEngine):
    """Its generations come about from the one attempt on."""

    def __init__(self, from_attempt: int) -> None:
        self._state, self._closing = threading.Condition(), threading.Event()
        self._is_whole, self._ring, self.fatal, self.lack = False, None, None, ""
        self._lessons = cast(Any, SimpleNamespace(learn=lambda: False))
        self._crew = cast(Any, SimpleNamespace(disband=lambda: None))
        self._left = from_attempt

    def _form(self) -> None:
        if self._left:
            self._left -= 1
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nand much more")


def test_the_reason_is_said() -> None:
    engine = Failing(ATTEMPTS)
    with pytest.raises(PipelineError, match="4 attempts: CUDA out of memory"):
        engine._gather()


def test_what_was_fatal_is_not_any_more_when_ranks_have_gathered() -> None:
    engine = Failing(1)
    engine.fatal = PipelineError("the ranks did not gather")
    engine._gather()
    assert engine.fatal is None
