"""A process beside this one, which tells events. What breaks CUDA, hangs or dies there, dies there alone."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
MARK = "limner-benchmark: "
"""Begins each line that is an event; libraries may say something, too."""
KILL_S = 10.0


def environment() -> dict[str, str]:
    """Where this repository's packages are found without an installation."""
    roots = [str(ROOT / part) for part in ("engine", "daemon", "obs_bridge", "installer")]
    given = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([*roots, str(ROOT), *([given] if given else [])])}


def tell(event: dict[str, Any]) -> None:
    """For the process that is read: one event."""
    print(MARK + json.dumps(event, ensure_ascii=False), flush=True)


class Child:
    """A Python with these arguments and what it tells. Use it in a `with`: nothing of it is left after."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="benchmark-reader")
        self._reader.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def next(self, most_s: float) -> dict[str, Any] | None:
        """Wait for the next event; None: it has ended. TimeoutError when it said nothing for so long."""
        try:
            return self._events.get(timeout=max(0.0, most_s))
        except queue.Empty:
            raise TimeoutError(f"nothing was heard for {most_s:.0f} s") from None

    @property
    def code(self) -> int:
        """How it ended, when `next` has said that it did."""
        return self._process.wait(KILL_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                self._events.put(json.loads(line.removeprefix(MARK)))
            else:
                sys.stderr.write(line)
        self._events.put(None)
