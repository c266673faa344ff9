"""The rows of gpu.py, measured in a process of their own: `python -m tests.benchmarks.gpu_child ORDER`.

ORDER is JSON: dry_run, rows (by name), end_s (of time.monotonic). Tells an event for all that happens.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tests.benchmarks.gpu_budget import Budget
from tests.benchmarks.gpu_floor import Ceilings, counted_stages, measured_ceilings
from tests.benchmarks.gpu_measure import Rig
from tests.benchmarks.gpu_models import PROMPT, engine_of
from tests.benchmarks.gpu_plan import predicted_bytes
from tests.benchmarks.gpu_process import tell
from tests.benchmarks.gpu_rows import CAMERA_FPS, Row, Way, rows_of

from limner.engine.engine import Engine
from limner.engine.types import StreamSettings

SETTINGS: dict[str, Any] = {"prompt": PROMPT, "strength": 0.8, "seed": 1}
BROKEN = 3
"""Exit code: the device can no more, here; another process may."""
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything."""

    device: torch.device
    dtype: torch.dtype
    warm_chunks: int
    """Until windows are full and graphs recorded."""
    warm_s: float
    """Longest time for those."""
    chunks: int
    flow_s: float
    """Longest time for each flow of chunks."""
    product_side: int
    copy_bytes: int


DRY = Scale(
    device=torch.device("cpu"),
    dtype=torch.float32,
    warm_chunks=6,
    warm_s=60.0,
    chunks=4,
    flow_s=1.0,
    product_side=64,
    copy_bytes=2**16,
)
REAL = Scale(
    device=torch.device("cuda"),
    dtype=torch.bfloat16,
    warm_chunks=14,
    warm_s=60.0,
    chunks=150,
    flow_s=2.5,
    product_side=8192,
    copy_bytes=2**32,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as ordered."""
    order = json.loads((arguments or sys.argv[1:])[0])
    scale = DRY if order["dry_run"] else REAL
    tell({"event": "machine", **_machine(scale.device)})
    rows = [row for row in rows_of(dry=order["dry_run"]) if row.name in order["rows"]]
    return measure_all(rows, scale, order["end_s"], tell)


def measure_all(rows: Sequence[Row], scale: Scale, end_s: float, tell: Tell) -> int:
    """Row by row; the model of the row before is kept as long as it is the same. Returns the exit code."""
    ceilings = measured_ceilings(
        scale.device, scale.dtype, side=scale.product_side, copy_bytes=scale.copy_bytes
    )
    tell({"event": "ceilings", **asdict(ceilings)})
    budget, last = Budget(end_s), _Loaded()
    for row in rows:
        way = row.way
        if not budget.has_room(time.monotonic(), way.model, is_loaded=last.is_of(way), compiles=way.compiled):
            tell({"event": "skipped", "name": row.name})
            continue
        tell({"event": "begun", "name": row.name})
        try:
            tell({"event": "measured", "row": _timed(row, last, scale, ceilings, budget)})
        except Exception as error:  # Of whatever kind, it must not cost the other rows.
            tell({"event": "failed", "name": row.name, "why": _why(error), "trace": traceback.format_exc()})
            last.forget()
        if not _is_well(scale.device):
            return BROKEN
    return 0


def _timed(row: Row, last: _Loaded, scale: Scale, ceilings: Ceilings, budget: Budget) -> dict[str, Any]:
    engine = last.engine_of(row.way, scale, budget)
    began_s = time.monotonic()
    measured = _measure(row, engine, scale, ceilings)
    budget.measured(row.way.model, time.monotonic() - began_s)
    return measured


class _Loaded:
    """The engine of the last row; nobody else may keep it, for two of 14B do not fit."""

    def __init__(self) -> None:
        self._way: Way | None = None
        self._engine: Engine | None = None

    def is_of(self, way: Way) -> bool:
        return self._way == way

    def engine_of(self, way: Way, scale: Scale, budget: Budget) -> Engine:
        if self._engine is None or self._way != way:
            self.forget()  # Its memory goes before the next one's is taken.
            free(scale.device)
            began_s = time.monotonic()
            self._engine = engine_of(way, scale.device, scale.dtype)
            self._way = way
            budget.loaded(way.model, time.monotonic() - began_s)
        return self._engine

    def forget(self) -> None:
        self._way = self._engine = None


def _measure(row: Row, engine: Engine, scale: Scale, ceilings: Ceilings) -> dict[str, Any]:
    settings, (width, height) = StreamSettings(steps=row.steps, **SETTINGS), row.size
    free(scale.device)
    with Rig(engine, row.size, graphs=row.graphs) as rig:
        cold_ms = rig.first_frame_ms(settings)
        warm_ms = rig.first_frame_ms(settings)
        free(scale.device)  # Of the peak, what one stream takes is wanted.
        stream = rig.open(settings)
        rig.run(stream, scale.warm_chunks, fps=None, most_s=scale.warm_s)
        flat_out = rig.run(stream, scale.chunks, fps=None, most_s=scale.flow_s)
        paced = rig.run(stream, scale.chunks, fps=CAMERA_FPS, most_s=scale.flow_s)
        del stream
        peak = peak_bytes(scale.device)
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
        "peak_bytes": peak,
        "predicted_bytes": predicted_bytes(row),
    }


def peak_bytes(device: torch.device) -> int | None:
    """Most that the allocator held of this row, and what CUDA itself takes beside it."""
    if device.type != "cuda":
        return None
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    beside_bytes = total_bytes - free_bytes - torch.cuda.memory_reserved(device)
    return int(torch.cuda.max_memory_reserved(device) + beside_bytes)


def free(device: torch.device) -> None:
    """Give back what nobody holds, and forget the peak."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no words').splitlines()[0]}"


def _is_well(device: torch.device) -> bool:
    """A broken CUDA context stays broken."""
    if device.type != "cuda":
        return True
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return False
    return True


def _machine(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda}


if __name__ == "__main__":
    sys.exit(main())
