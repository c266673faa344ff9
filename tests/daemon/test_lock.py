"""One daemon a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from limner.daemon.lock import AlreadyRunningError, InstanceLock, running_pid, stop_daemon
from limner.daemon.paths import LOCK_FILE


def test_the_second_is_told_who_is_there(tmp_path: Path) -> None:
    lock = InstanceLock.acquire(tmp_path)
    assert running_pid(tmp_path) == os.getpid()
    with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
        InstanceLock.acquire(tmp_path)
    lock.release()
    assert running_pid(tmp_path) is None
    assert not (tmp_path / LOCK_FILE).exists()
    InstanceLock.acquire(tmp_path).release()


def test_the_file_of_a_dead_daemon_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("1\n")
    assert running_pid(tmp_path) is None
    assert stop_daemon(tmp_path) is None
    lock = InstanceLock.acquire(tmp_path)
    assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_asking_for_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert running_pid(tmp_path / "no") is None
    assert stop_daemon(tmp_path / "no") is None
