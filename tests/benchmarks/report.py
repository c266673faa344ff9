"""What the benchmarks of the engine have in common: arguments, the machine, the report, the broken bars."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tests.support.pictures import POCKET

from limner.cli.figures import cpu_name
from limner.engine.engine import Engine

THREADS = 2
"""CPU threads of the engine unless told otherwise: what a small machine has."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """With what every benchmark takes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--report", type=Path, help="JSON file to write")
    made.add_argument(
        "--model", type=Path, default=POCKET, help="folder with pocket.toml and weights.safetensors"
    )
    made.add_argument("--threads", type=int, default=THREADS, help="CPU threads of the engine")
    return made


def chosen(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse, and let torch work as the worker does."""
    options = made.parse_args(arguments)
    torch.set_num_threads(options.threads)
    return options


def machine(engine: Engine) -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": str(engine.device),
        "dtype": str(engine.dtype).removeprefix("torch."),
        "load_before": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def finish(report: dict[str, Any], broken: Iterable[str], path: Path | None) -> int:
    """Write the report, say what was promised and not kept; the exit status."""
    report["broken"] = list(broken)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for sentence in report["broken"]:
        print(f"Broken: {sentence}")
    return 1 if report["broken"] else 0
