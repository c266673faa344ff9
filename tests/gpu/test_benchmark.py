"""The benchmark of the GPU, run dry: the same code on the CPU, so that a GPU's minutes are not lost on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.benchmarks import gpu
from tests.benchmarks.gpu_floor import Ceilings, Counted
from tests.benchmarks.gpu_models import Way, config_of
from tests.benchmarks.gpu_plan import predicted_bytes
from tests.benchmarks.gpu_rows import ROWS, TINY_ROWS, broken
from tests.benchmarks.gpu_table import table

from limner.engine.dit.model import CausalDiT


def test_a_dry_run_measures_every_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = gpu.main(["--dry-run", "--folder", str(tmp_path)])
    report = json.loads((tmp_path / "gpu-cpu.json").read_text(encoding="utf-8"))
    assert (status, report["failed"], report["broken"], report["skipped"]) == (0, [], [], [])
    assert [row["name"] for row in report["rows"]] == [row.name for row in TINY_ROWS]
    for row in report["rows"]:
        assert row["flat_out"]["fps"] > 0
        assert row["flat_out"]["p50_ms"] <= row["flat_out"]["p99_ms"] <= row["flat_out"]["worst_ms"]
        assert row["paced"]["chunks"] > 1
        assert all(
            row["tflop"][stage] > 0 < row["gbytes"][stage] for stage in ("encode", "denoise", "decode")
        )
    shown = capsys.readouterr().out
    assert table(report) in shown
    assert "DRY RUN" in shown


def test_rows_without_time_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--dry-run", "--seconds", "0", "--folder", str(tmp_path)]) == 0
    assert f"No time was left for: {TINY_ROWS[0].name}; " in capsys.readouterr().out


def test_without_a_gpu_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert gpu.main(["--folder", str(tmp_path)]) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_what_is_promised_is_checked() -> None:
    row = ROWS[0]
    good = {"flat_out": {"fps": 200.0}, "paced": {"p50_ms": 30.0}, "first_frame_warm_ms": 100.0}
    assert broken(row, good) == []
    bad = {"flat_out": {"fps": 100.0}, "paced": {"p50_ms": 90.0}, "first_frame_warm_ms": 400.0}
    assert len(broken(row, bad)) == 3


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
