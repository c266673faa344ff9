"""The report of gpu.py as Markdown, for docs/measurements.md.

python -m tests.benchmarks.gpu_table docs/measurements/gpu-nvidia-h200.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HEADER = (
    "| model, size, steps, autoencoder, weights | FPS | flat out p50 / p99 | at 30 FPS p50 / p99"
    " | first frame warm / cold | encode / denoise / decode (floor) | peak (planned) |"
)


def table(report: dict[str, Any]) -> str:
    """The aims with their verdicts, all rows, and what failed or had no time."""
    lines = [
        f"{report['device']}, torch {report['torch']}, {report['date']}{_rates(report['ceilings'])}."
        " Times in ms, of one chunk of 4 frames.",
        "",
        "| aim | verdict | measured |",
        "|" + " --- |" * 3,
        *map(_aim, report["aims"]),
        "",
        HEADER,
        "|" + " --- |" * 7,
        *map(_line, report["rows"]),
    ]
    if report["dry_run"]:
        lines.insert(0, "DRY RUN with tiny models on the CPU: no figure means anything.")
    lines += [f"\nFailed: {one['name']} ({one['why']})." for one in report["failed"]]
    if report["skipped"]:
        lines.append(f"\nNo time was left for: {'; '.join(report['skipped'])}.")
    if report["tests"]["run"]:
        lines.append(f"\nTests of the GPU: {report['tests']['words']}.")
    return "\n".join(lines)


def _rates(ceilings: dict[str, Any] | None) -> str:
    if ceilings is None:
        return ""
    fp8 = f", {ceilings['fp8_tflops']:.0f} in fp8" if ceilings["fp8_tflops"] else ""
    product = f"one big product {ceilings['tflops']:.4g} TFLOP/s{fp8}"
    return f"; {product}, one big copy {ceilings['tb_per_s']:.3g} TB/s"


def _aim(one: dict[str, Any]) -> str:
    got = "–" if one["measured"] is None else f"{one['measured']:.1f} ({one['row']})"
    return f"| {one['aim']} | {one['verdict']} | {got} |"


def _line(row: dict[str, Any]) -> str:
    flat, paced, alone, floor = row["flat_out"], row["paced"], row["stages_alone_ms"], row["floor_ms"]
    stages = " / ".join(f"{alone[name]:.1f} ({floor[name]:.1f})" for name in ("encode", "denoise", "decode"))
    cells = (
        row["name"],
        f"{flat['fps']:.1f}",
        f"{flat['p50_ms']:.0f} / {flat['p99_ms']:.0f}",
        f"{paced['p50_ms']:.0f} / {paced['p99_ms']:.0f}",
        f"{row['first_frame_warm_ms']:.0f} / {row['first_frame_cold_ms']:.0f}",
        stages,
        f"{_gib(row['peak_bytes'])} ({_gib(row['predicted_bytes'])})",
    )
    return "| " + " | ".join(cells) + " |"


def _gib(size_bytes: int | None) -> str:
    return "–" if size_bytes is None else f"{size_bytes / 2**30:.1f} GiB"


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
