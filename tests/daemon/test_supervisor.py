"""Starting workers when the machine does not want to."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from typing import Any

import pytest

from limner.daemon.config import DaemonConfig
from limner.daemon.supervisor import Death, Supervisor, next_step_down
from limner.daemon.worker_protocol import EXIT_NO_ENGINE, EXIT_NO_MEMORY


def test_a_start_that_fails_is_a_death_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", no_memory)
    supervisor = Supervisor(DaemonConfig(runtime_dir=tmp_path, engine="echo"))
    first, second = supervisor.start_if_due(), supervisor.start_if_due()
    assert isinstance(first, Death)
    assert isinstance(second, Death)
    assert "Cannot allocate memory" in first.sentence
    assert first.failed
    assert (first.wait_s, second.wait_s) == (0, 1)
    assert not supervisor.running
    assert supervisor.start_if_due() is None, "it waits now"
    supervisor.stop()


def test_a_plan_that_was_wrong_is_passed_over_by_the_next_worker() -> None:
    assert next_step_down(0, EXIT_NO_MEMORY, ready_s=0.0) == 1
    assert next_step_down(1, EXIT_NO_MEMORY, ready_s=1.0) == 2
    assert next_step_down(2, EXIT_NO_MEMORY, ready_s=600.0) == 3, "nothing could give way: not the same again"
    assert next_step_down(2, EXIT_NO_MEMORY, ready_s=7200.0) == 1, "what was too much two hours ago may fit"
    assert next_step_down(2, -9, ready_s=7200.0) == 0
    assert next_step_down(2, -9, ready_s=0.0) == 2
    assert next_step_down(2, EXIT_NO_ENGINE, ready_s=0.0) == 0, "no plan is left: from the best one again"
