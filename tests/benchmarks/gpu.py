"""One GPU, end to end: everything that can only be known on one, in under 8 minutes.

    python -m tests.benchmarks.gpu

Runs tests/gpu, measures the device's ceilings, then paints with models of the real shapes and random weights
(speed does not depend on their values), the rows with an aim first, until the time is up. Each aim of the
project gets a verdict; rows that had no time, or failed, are named. Writes gpu-DEVICE.json after every row,
and prints its table.

    python -m tests.benchmarks.gpu --dry-run

does the same on the CPU with tiny models, in seconds: nothing of its figures means anything.

It runs from the repository as it is, without an installation: of packages it needs those in NEEDED, and for
tests/gpu those in WANTED; it says which are missing. (Where nothing can be installed, carry their wheels.)
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.gpu_aims import verdicts
from tests.benchmarks.gpu_process import ROOT, Child, environment
from tests.benchmarks.gpu_rows import rows_of
from tests.benchmarks.gpu_table import table

NEEDED = ("cv2", "msgspec", "numpy", "safetensors", "torch")
WANTED = ("psutil", "pytest", "pytest_timeout", "sentencepiece", "tokenizers", "transformers")
START_S = 60.0
"""For a process to import torch and find its device."""
ROW_S = 120.0
"""No row takes so long, unless it hangs."""
GRACE_S = 25.0
"""A row that has begun may end so much after the time is up."""
LEAST_S = 15.0
"""With less time left no process is begun."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit status says whether all that was measured is as it was aimed at."""
    options = _options(arguments)
    if fault := _fault(options.dry_run):
        print(fault, file=sys.stderr)
        return 2
    began_s = time.monotonic()
    report = _Report(options, end_s=began_s + options.seconds)
    tests_s = 0.0 if options.dry_run else options.tests_seconds
    report.facts["tests"] = _run_tests(tests_s)
    rows = [row.name for row in rows_of(dry=options.dry_run)]
    while rows and time.monotonic() < report.end_s - LEAST_S:
        rows = _measure(rows, options.dry_run, report)
    report.facts["skipped"] += rows
    report.facts["took_s"] = round(time.monotonic() - began_s, 1)
    report.write()
    print(table(report.facts))
    print(f"\n{report.path} written, {report.facts['took_s']:g} s")
    return int(report.is_bad)


class _Report:
    """What is known so far, on disk as well: whoever ends this early has the rows that were measured."""

    def __init__(self, options: Namespace, end_s: float) -> None:
        self.end_s, self._folder = end_s, options.folder
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        self.facts: dict[str, Any] = {"dry_run": options.dry_run, "date": now, "device": "unknown"}
        self.facts |= {"torch": None, "cuda": None, "ceilings": None}
        self.facts |= {"tests": {"run": False}, "rows": [], "skipped": [], "failed": [], "aims": []}

    @property
    def path(self) -> Path:
        """Of the JSON."""
        return Path(self._folder) / f"gpu-{_slug(self.facts['device'])}.json"

    @property
    def is_bad(self) -> bool:
        """Something failed, or an aim was not met. What had no time is neither."""
        facts = self.facts
        missed = not facts["dry_run"] and any(one["verdict"] == "not met" for one in facts["aims"])
        return bool(missed or facts["failed"] or facts["tests"].get("failed"))

    def write(self) -> None:
        """Put it down."""
        self.facts["aims"] = verdicts(self.facts["rows"])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.facts, indent=1, ensure_ascii=False)
        self.path.write_text(text + "\n", encoding="utf-8")

    def failed(self, name: str, why: str, trace: str = "") -> None:
        """A row could not be measured."""
        self.facts["failed"].append({"name": name, "why": why, "trace": trace})
        print(f"{name}: {why}", file=sys.stderr, flush=True)
        self.write()


def _measure(rows: list[str], dry_run: bool, report: _Report) -> list[str]:
    """Measure rows in a process of their own; return those that it did not come to when it broke."""
    order = {"dry_run": dry_run, "rows": rows, "end_s": report.end_s}
    with Child(["-m", "tests.benchmarks.gpu_child", json.dumps(order)]) as child:
        return _listen(child, rows, report)


def _listen(child: Child, rows: list[str], report: _Report) -> list[str]:
    left, running, patience_s = list(rows), "", START_S
    while True:
        left_s = report.end_s + GRACE_S - time.monotonic()
        try:
            event = child.next(min(patience_s, left_s))
        except TimeoutError as late:
            report.failed(running or "between two rows", str(late))
            return left if left != rows else []
        if event is None:
            break
        patience_s = ROW_S
        match event.pop("event"):
            case "machine":
                report.facts |= event
            case "ceilings":
                report.facts["ceilings"] = event
            case "begun":
                running = event["name"]
                left.remove(running)
            case "skipped":
                left.remove(event["name"])
                report.facts["skipped"].append(event["name"])
            case "failed":
                report.failed(**event)
                running = ""
            case "measured":
                running = ""
                report.facts["rows"].append(event["row"])
                report.write()
                fps = event["row"]["flat_out"]["fps"]
                print(f"{event['row']['name']}: {fps:g} FPS", file=sys.stderr, flush=True)
    if running:
        report.failed(running, f"its process ended with code {child.code}")
    elif left == rows:
        report.failed("the start", f"the process ended with code {child.code}")
        return []
    return left


def _run_tests(most_s: float) -> dict[str, Any]:
    """tests/gpu in a process of its own, so that whatever it breaks stays there."""
    if not most_s:
        return {"run": False}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", "tests/gpu"]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(),
            timeout=most_s,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return _tests_said(_as_text(late.stdout), True, f"not done after {most_s:g} s")
    words = (done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["nothing was said"])[-1]
    return _tests_said(done.stdout + done.stderr, done.returncode != 0, words)


def _tests_said(output: str, failed: bool, words: str) -> dict[str, Any]:
    print(f"tests/gpu: {words}", file=sys.stderr, flush=True)
    return {"run": True, "failed": failed, "words": words, "tail": output[-12000:] if failed else ""}


def _as_text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _fault(dry_run: bool) -> str:
    """Why nothing can be measured here; empty: it can."""
    for names, kind in ((WANTED, "tests/gpu will fail"), (NEEDED, "")):
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        if missing and kind:
            print(f"Not here: {', '.join(missing)}; {kind} in part.", file=sys.stderr)
        elif missing:
            return f"Not here: {', '.join(missing)}. Install them, or carry their wheels."
    import torch

    if not dry_run and not torch.cuda.is_available():
        return "There is no CUDA device here; --dry-run runs the same code on the CPU."
    return ""


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _options(arguments: Sequence[str] | None) -> Namespace:
    made = ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    made.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny models")
    made.add_argument("--folder", type=Path, default=ROOT / "docs" / "measurements", help="for the JSON")
    made.add_argument("--seconds", type=float, default=440.0, help="for all; what would be late is left out")
    made.add_argument("--tests-seconds", type=float, default=120.0, help="for tests/gpu; 0: leave them out")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
