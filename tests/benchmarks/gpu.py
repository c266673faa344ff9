"""One GPU, end to end: everything that can only be known on one, in under 8 minutes.

    python -m tests.benchmarks.gpu --folder docs/measurements

Runs tests/gpu, measures the device's ceilings, then paints with models of the real shapes and random weights
(speed does not depend on their values), the most important rows first, until the time is up; rows that had no
time, or failed, are named. Writes gpu-DEVICE.json and prints its table.

    python -m tests.benchmarks.gpu --dry-run

does the same on the CPU with tiny models, in seconds: nothing of its figures means anything.
"""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks.gpu_floor import Ceilings, counted_stages, measured_ceilings
from tests.benchmarks.gpu_measure import Rig
from tests.benchmarks.gpu_models import PROMPT, Way, engine_of
from tests.benchmarks.gpu_plan import predicted_bytes
from tests.benchmarks.gpu_rows import CAMERA_FPS, ROWS, TINY_ROWS, Row, broken
from tests.benchmarks.gpu_table import table

from limner.engine.engine import Engine
from limner.engine.types import StreamSettings

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = {"prompt": PROMPT, "strength": 0.8, "seed": 1}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything."""

    device: torch.device
    dtype: torch.dtype
    rows: tuple[Row, ...]
    budget_s: float
    """For all; the tests of the GPU included."""
    tests_s: float
    """For those at most; 0: none are run."""
    warm_chunks: int
    """Until windows are full and graphs recorded."""
    chunks: int
    flow_s: float
    """Longest time for each flow of chunks."""
    product_side: int
    copy_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit status says whether all that was promised was kept."""
    options = _options(arguments)
    if not options.dry_run and not torch.cuda.is_available():
        print("There is no CUDA device here; --dry-run runs the same code on the CPU.", file=sys.stderr)
        return 2
    began_s = time.perf_counter()
    scale = _scale(options)
    report: dict[str, Any] = {"dry_run": options.dry_run, **_machine(scale.device)}
    report["tests"] = _run_tests(scale.tests_s)
    ceilings = measured_ceilings(
        scale.device, scale.dtype, side=scale.product_side, copy_bytes=scale.copy_bytes
    )
    report["ceilings"] = asdict(ceilings)
    report |= {"rows": [], "skipped": [], "failed": [], "broken": []}
    path = options.folder / f"gpu-{_slug(report['device'])}.json"
    for _ in _measure_all(scale, ceilings, report, began_s + scale.budget_s):
        _write(report, path)  # After every row: whoever ends this early has those that were measured.
    report["took_s"] = round(time.perf_counter() - began_s, 1)
    _write(report, path)
    print(table(report))
    print(f"\n{path} written, {report['took_s']:g} s")
    return 1 if report["broken"] or report["failed"] or report["tests"].get("failed") else 0


def _measure_all(scale: Scale, ceilings: Ceilings, report: dict[str, Any], end_s: float) -> Iterator[None]:
    """Row by row into the report; the model of the row before is kept as long as it is the same."""
    last: tuple[Way, Engine] | None = None
    for row in scale.rows:
        if time.perf_counter() >= end_s:
            report["skipped"].append(row.name)
            continue
        try:
            if last is None or last[0] != row.way:
                last = None  # Its memory goes before the next one's is taken.
                _free(scale.device)
                last = (row.way, engine_of(row.way, scale.device, scale.dtype))
            measured = _measure(row, last[1], scale, ceilings)
        except (RuntimeError, ValueError, TimeoutError) as error:  # It must not cost the other rows.
            report["failed"].append({"name": row.name, "why": str(error).strip().split("\n")[0]})
            last = None
            continue
        report["rows"].append(measured)
        report["broken"] += broken(row, measured)
        print(f"{row.name}: {measured['flat_out']['fps']:g} FPS", file=sys.stderr, flush=True)
        yield


def _write(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _measure(row: Row, engine: Engine, scale: Scale, ceilings: Ceilings) -> dict[str, Any]:
    settings, (width, height) = StreamSettings(steps=row.steps, **SETTINGS), row.size
    _free(scale.device)
    with Rig(engine, row.size, graphs=row.graphs) as rig:
        cold_ms = rig.first_frame_ms(settings)
        warm_ms = rig.first_frame_ms(settings)
        _free(scale.device)  # Of the peak, what one stream takes is wanted.
        stream = rig.open(settings)
        rig.run(stream, scale.warm_chunks, fps=None, most_s=scale.budget_s)
        flat_out = rig.run(stream, scale.chunks, fps=None, most_s=scale.flow_s)
        paced = rig.run(stream, scale.chunks, fps=CAMERA_FPS, most_s=scale.flow_s)
        del stream
        peak_bytes = _peak_bytes(scale.device)
        stages = rig.stages(settings, scale.warm_chunks)
        counted = counted_stages(
            engine.open_stream(settings, height, width, graphs=False),
            rig.frames(engine.config.frames_per_chunk),
            engine.config.dit.window_frames + row.steps,
        )
        is_locked = rig.is_locked
    floors = {name: round(one.floor_ms(ceilings), 3) for name, one in counted.items()}
    return {
        "name": row.name,
        **asdict(row.way),
        "size": list(row.size),
        "steps": row.steps,
        "graphs": row.graphs,
        "page_locked": is_locked,
        "first_frame_cold_ms": round(cold_ms, 1),
        "first_frame_warm_ms": round(warm_ms, 1),
        "flat_out": asdict(flat_out),
        "paced": asdict(paced),
        "stages_alone_ms": {name: round(value, 3) for name, value in asdict(stages).items()},
        "floor_ms": floors,
        "tflop": {name: round(one.flops / 1e12, 6) for name, one in counted.items()},
        "gbytes": {name: round(one.bytes / 1e9, 6) for name, one in counted.items()},
        "peak_bytes": peak_bytes,
        "predicted_bytes": predicted_bytes(row),
    }


def _run_tests(most_s: float) -> dict[str, Any]:
    """tests/gpu in a process of its own, so that whatever it breaks stays there."""
    if not most_s:
        return {"run": False}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu"]
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=most_s, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired as late:
        return {
            "run": True,
            "failed": True,
            "words": f"not done after {most_s:g} s",
            "tail": str(late.stdout)[-4000:],
        }
    words = done.stdout.strip().splitlines()[-1:] or ["nothing was said"]
    failed = done.returncode != 0
    return {"run": True, "failed": failed, "words": words[0], "tail": done.stdout[-4000:] if failed else ""}


def _peak_bytes(device: torch.device) -> int | None:
    """Most that the allocator held of this row, and what CUDA itself takes beside it."""
    if device.type != "cuda":
        return None
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    beside_bytes = total_bytes - free_bytes - torch.cuda.memory_reserved(device)
    return int(torch.cuda.max_memory_reserved(device) + beside_bytes)


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _machine(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _scale(options: Namespace) -> Scale:
    if options.dry_run:
        return Scale(
            device=torch.device("cpu"),
            dtype=torch.float32,
            rows=TINY_ROWS,
            budget_s=options.seconds,
            tests_s=0,
            warm_chunks=6,
            chunks=4,
            flow_s=1.0,
            product_side=64,
            copy_bytes=2**16,
        )
    return Scale(
        device=torch.device("cuda"),
        dtype=torch.bfloat16,
        rows=ROWS,
        budget_s=options.seconds,
        tests_s=options.tests_seconds,
        warm_chunks=14,
        chunks=150,
        flow_s=2.5,
        product_side=8192,
        copy_bytes=2**32,
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _options(arguments: Sequence[str] | None) -> Namespace:
    made = ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    made.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny models")
    made.add_argument("--folder", type=Path, default=ROOT / "docs" / "measurements", help="for the JSON")
    made.add_argument("--seconds", type=float, default=440.0, help="for all; no row begins after that")
    made.add_argument("--tests-seconds", type=float, default=120.0, help="for tests/gpu; 0: leave them out")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
