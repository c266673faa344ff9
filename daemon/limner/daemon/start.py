"""How a daemon starts: its folder, its lock, its own process if asked for. Says why it cannot."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from pathlib import Path

from limner.daemon.config import DaemonConfig
from limner.daemon.detach import Detached, detach
from limner.daemon.expected import in_words, outlook
from limner.daemon.lock import AlreadyRunningError, InstanceLock
from limner.daemon.obs_control import OBS_LOG
from limner.daemon.paths import (
    DAEMON_SOCKET,
    RANKS_SOCKET,
    WORKER_SOCKET,
    PathError,
    ensure_private_dir,
    segment_prefix,
)
from limner.daemon.segment import remove_stale
from limner.daemon.server import Daemon
from limner.daemon.style_file import StylesError
from limner.daemon.supervisor import WORKER_LOG
from limner.models.plan_torch import torch_build

log = logging.getLogger("limner.daemon")
DAEMON_LOG = "daemon.log"
EXIT_FAILED = 1
# For who started it because none ran: another was faster, so one runs now.
EXIT_ALREADY_RUNNING = 4


def run(config: DaemonConfig) -> int:
    """Run a daemon until it is stopped and return the exit code; says on stderr why it cannot start.

    EXIT_ALREADY_RUNNING: another one serves this folder.
    """
    config = dataclasses.replace(config, runtime_dir=config.runtime_dir.absolute())
    try:
        ensure_private_dir(config.runtime_dir)
        lock = InstanceLock.acquire(config.runtime_dir)
    except AlreadyRunningError as error:
        return _complain(error, EXIT_ALREADY_RUNNING)
    except PathError as error:
        return _complain(error)
    except OSError as error:
        return _complain(f"cannot use {config.runtime_dir}: {error.strerror}")
    parent = detach(config.runtime_dir / DAEMON_LOG) if config.detach else None
    if isinstance(parent, int):
        lock.forget()
        return parent
    return _serve(config, lock, parent)


def _serve(config: DaemonConfig, lock: InstanceLock, parent: Detached | None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        lock.write_pid()
        _clean_up_after_a_crash(config.runtime_dir)
        expected = outlook(config, torch_build())
        if expected.slow:
            log.warning("%s: %s", config.engine, expected.slow)
        elif expected.plan is not None:
            log.info("%s: %s", config.engine, in_words(expected.plan))
        daemon = Daemon(config)
        if parent:
            parent.started()
        log.info("limner daemon: process %d, folder %s", os.getpid(), config.runtime_dir)
        daemon.run()
    except (PathError, StylesError) as error:
        if parent:
            parent.failed(str(error))
        return _complain(error)
    finally:
        lock.release()
    log.info("limner daemon: ended")
    return 0


def _clean_up_after_a_crash(folder: Path) -> None:
    stale = remove_stale(segment_prefix(folder))
    if stale:
        log.info("removed %d segments of an earlier daemon", len(stale))
    for name in (DAEMON_SOCKET, WORKER_SOCKET, RANKS_SOCKET, WORKER_LOG, OBS_LOG):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise PathError(f"{folder / name} is in the way: {error.strerror}; remove it") from error


def _complain(error: object, code: int = EXIT_FAILED) -> int:
    print(f"limner daemon: {error}", file=sys.stderr)
    return code
