"""The benchmark of the GPU, run dry: the same code on the CPU, so that a GPU's minutes are not lost on it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmarks import gpu, gpu_child
from tests.benchmarks.gpu_aims import AIMS, verdicts
from tests.benchmarks.gpu_budget import COMPILING_S, FIRST_LOAD_S, FIRST_ROW_S, Budget
from tests.benchmarks.gpu_floor import Ceilings, Counted
from tests.benchmarks.gpu_models import config_of
from tests.benchmarks.gpu_plan import predicted_bytes
from tests.benchmarks.gpu_process import Child
from tests.benchmarks.gpu_rows import ROWS, TINY_ROWS, Row, Way
from tests.benchmarks.gpu_table import table

from limner.engine.dit.model import CausalDiT

DRY_NAMES = [row.name for row in TINY_ROWS]


def test_a_dry_run_measures_every_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = gpu.main(["--dry-run", "--folder", str(tmp_path)])
    report = json.loads((tmp_path / "gpu-cpu.json").read_text(encoding="utf-8"))
    assert (status, report["failed"], report["skipped"]) == (0, [], [])
    assert [row["name"] for row in report["rows"]] == DRY_NAMES
    for row in report["rows"]:
        assert row["flat_out"]["fps"] > 0
        assert row["flat_out"]["p50_ms"] <= row["flat_out"]["p99_ms"] <= row["flat_out"]["worst_ms"]
        assert row["paced"]["chunks"] > 1
        assert all(
            row["tflop"][stage] > 0 < row["gbytes"][stage] for stage in ("encode", "denoise", "decode")
        )
    assert [one["verdict"] for one in report["aims"]] == ["not run"] * len(AIMS)
    shown = capsys.readouterr().out
    assert table(report) in shown
    assert "DRY RUN" in shown


def test_rows_without_time_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--dry-run", "--seconds", "0", "--folder", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"No time was left for: {DRY_NAMES[0]}; " in shown
    assert f"| {AIMS[0].text} | not run | – |" in shown


def test_without_a_gpu_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert gpu.main(["--folder", str(tmp_path)]) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_missing_packages_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "NEEDED", ("torch", "no_such_package"))
    assert gpu.main(["--dry-run", "--folder", str(tmp_path)]) == 2
    assert "Not here: no_such_package." in capsys.readouterr().err


class TestOneRowThatFails:
    """The others go on, whatever became of it."""

    def told(self, monkeypatch: pytest.MonkeyPatch, fault: BaseException, *, well: bool = True) -> Any:
        events = list[dict[str, Any]]()

        def breaks(row: Row, *_: Any) -> dict[str, Any]:
            if row.name == DRY_NAMES[1]:
                raise fault
            return {}

        monkeypatch.setattr(gpu_child, "_measure", breaks)
        monkeypatch.setattr(gpu_child, "_is_well", lambda _: well)
        code = gpu_child.measure_all(TINY_ROWS[:3], gpu_child.DRY, time.monotonic() + 600, events.append)
        return code, [(event["event"], event.get("name")) for event in events[1:]], events

    @pytest.mark.parametrize("fault", [RuntimeError("CUDA out of memory"), KeyError("x"), AssertionError()])
    def test_in_python(self, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
        code, told, events = self.told(monkeypatch, fault)
        first, second, third = DRY_NAMES[:3]
        assert code == 0
        assert told == [
            *(("begun", first), ("measured", None)),
            *(("begun", second), ("failed", second)),
            *(("begun", third), ("measured", None)),
        ]
        assert events[4]["why"].startswith(type(fault).__name__)

    def test_and_leaves_the_device_broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        code, told, _ = self.told(
            monkeypatch, RuntimeError("CUDA error: an illegal memory access"), well=False
        )
        assert code == gpu_child.BROKEN
        assert told == [("begun", DRY_NAMES[0]), ("measured", None)]

    @pytest.mark.parametrize("way", ["dies", "hangs"])
    def test_with_its_process(
        self, way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stand-in for the process that measures: its second row never ends well."""
        monkeypatch.setattr(gpu, "Child", _stand_in(way))
        monkeypatch.setattr(gpu, "ROW_S", 2.0)
        assert gpu.main(["--dry-run", "--folder", str(tmp_path)]) == 1
        report = json.loads((tmp_path / "gpu-cpu.json").read_text(encoding="utf-8"))
        assert [row["name"] for row in report["rows"]] == [DRY_NAMES[0], *DRY_NAMES[2:]]
        (failed,) = report["failed"]
        assert failed["name"] == DRY_NAMES[1]
        assert (
            failed["why"]
            == {"dies": "its process ended with code -9", "hangs": "nothing was heard for 2 s"}[way]
        )
        assert f"Failed: {DRY_NAMES[1]}" in capsys.readouterr().out


SCRIPT = """
import json, os, signal, sys, time
from tests.benchmarks.gpu_process import tell
order, ways, victim = json.loads(sys.argv[3]), sys.argv[1], sys.argv[2]
tell({"event": "machine", "device": "cpu", "torch": "2", "cuda": None})
print("a library says something")
for name in order["rows"]:
    tell({"event": "begun", "name": name})
    if name == victim:
        if ways == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    flow = {"fps": 1.0, "p50_ms": 1.0, "p99_ms": 1.0}
    stages = dict.fromkeys(("encode", "denoise", "decode"), 1.0)
    row = {"name": name, "model": "tiny", "size": [48, 32], "steps": 1, "weights": "bf16", "vae": "wan"}
    row |= {"flat_out": flow, "paced": flow, "first_frame_warm_ms": 1.0, "first_frame_cold_ms": 1.0}
    row |= {"stages_alone_ms": stages, "floor_ms": stages, "peak_bytes": None, "predicted_bytes": None}
    tell({"event": "measured", "row": row})
"""


def _stand_in(way: str) -> Any:
    def child(arguments: list[str]) -> Child:
        return Child(["-c", SCRIPT, way, DRY_NAMES[1], arguments[-1]])

    return child


def a_row(**changes: Any) -> dict[str, Any]:
    row = {
        "name": "a row",
        "model": "wan-1.3b",
        "size": [512, 512],
        "steps": 1,
        "weights": "bf16",
        "vae": "wan",
    }
    row |= {"flat_out": {"fps": 170.0}, "paced": {"p50_ms": 50.0}, "first_frame_warm_ms": 300.0}
    return row | changes


def test_each_aim_has_a_verdict() -> None:
    rows = [a_row(), a_row(name="compiled", flat_out={"fps": 180.0}), a_row(steps=2, flat_out={"fps": 100.0})]
    rows += [a_row(vae="taehv", flat_out={"fps": 999.0}), a_row(weights="fp8", paced={"p50_ms": 1.0})]
    found = {one["aim"]: (one["verdict"], one["measured"], one["row"]) for one in verdicts(rows)}
    assert len(found) == len(AIMS)
    assert found["wan-1.3b 512x512, 1 step, bf16: FPS ≥ 160"] == ("met", 180.0, "compiled")
    assert found["wan-1.3b 512x512, 2 steps, bf16: FPS ≥ 110"] == ("not met", 100.0, "a row")
    assert found["wan-14b 512x512, 1 step, fp8: FPS ≥ 58"] == ("not run", None, None)
    assert found["wan-1.3b 512x512, 1 step, bf16: first frame, warm, ms ≤ 250"][0] == "not met"
    assert found["wan-1.3b 512x512, 1 step, bf16: one chunk beyond gathering, p50, ms ≤ 60"] == (
        "met",
        50.0,
        "a row",
    )


def test_each_aim_has_a_row_and_those_come_first() -> None:
    for aim in AIMS:
        places = [
            place
            for place, row in enumerate(ROWS)
            if (row.way.model, row.size, row.steps, row.way.weights, row.way.vae)
            == (aim.model, aim.size, aim.steps, aim.weights, aim.vae)
        ]
        assert places and places[0] < 10, aim.text


def test_it_ends_in_time() -> None:
    """However long rows take, none begins that would most likely be late; all of it ends within 8 minutes."""
    budget, now_s, done = Budget(end_s=440.0), 120.0, 0
    loaded: Way | None = None
    for row in ROWS:
        is_loaded = row.way == loaded
        if not budget.has_room(now_s, row.way.model, is_loaded=is_loaded, compiles=row.way.compiled):
            continue
        if not is_loaded:
            budget.loaded(row.way.model, 9.0)
            now_s += 9.0 + COMPILING_S * row.way.compiled
        budget.measured(row.way.model, 11.0)
        now_s, loaded, done = now_s + 11.0, row.way, done + 1
        assert now_s <= 440.0
    assert done >= 9, "the rows with an aim"
    options = gpu._options([])
    assert options.seconds + gpu.GRACE_S <= 480.0
    assert options.tests_seconds + 200 <= options.seconds


def test_a_row_that_would_be_late_does_not_begin() -> None:
    budget = Budget(end_s=100.0)
    assert budget.has_room(100.0 - FIRST_LOAD_S - FIRST_ROW_S, "a", is_loaded=False)
    assert not budget.has_room(100.1 - FIRST_LOAD_S - FIRST_ROW_S, "a", is_loaded=False)
    budget.measured("a", 30.0)
    assert not budget.has_room(71.0, "a", is_loaded=True) and budget.has_room(70.0, "a", is_loaded=True)
    assert not budget.has_room(60.0, "b", is_loaded=False), "as long as what is known, until it is known"


def test_the_floor_is_the_longer_of_both_times() -> None:
    ceilings = Ceilings(tflops=1.0, fp8_tflops=2.0, tb_per_s=1.0)
    product, copy, small = (int(2e12), 1, False), (1, int(3e12), False), (int(2e12), 1, True)
    assert Counted(operations=[product, copy, small]).floor_ms(ceilings) == pytest.approx(2000 + 3000 + 1000)


@pytest.mark.parametrize(("model", "billions"), [("wan-1.3b", 1.42), ("wan-14b", 14.29)])
def test_shapes_are_the_real_ones(model: str, billions: float) -> None:
    with torch.device("meta"):
        dit = CausalDiT(config_of(Way(model=model)).dit)
    assert sum(p.numel() for p in dit.parameters()) / 1e9 == pytest.approx(billions, abs=0.005)


def test_each_row_is_there_once_and_has_a_plan() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        predicted = predicted_bytes(row)
        assert predicted is not None and predicted > 2**30


def test_what_decides_and_starts_needs_nothing_that_may_be_missing() -> None:
    """The script itself must be able to say what is missing."""
    code = """
import sys, tests.benchmarks.gpu
from tests.benchmarks.gpu_process import tell
tell({"there": [name for name in ("torch", "limner", "msgspec", "numpy") if name in sys.modules]})
"""
    with Child(["-c", code]) as child:
        assert child.next(60.0) == {"there": []}
