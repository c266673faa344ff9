"""SLO control against a thousand random loads, simulated: no GPU, no clock, the same on every machine.

    python -m tests.benchmarks.slo --traces 1000 --report docs/measurements/slo.json

Why a stream broke a promise is told by `tests.benchmarks.slo_story`.

What is promised, stream by stream: where some allowed plan fits (see `slo_traces.counted`), at most 1 % of
the frames are late or lost; the delay never passes a bound that depends on the slowest chunk alone; quality
is back within 10 s of the load's end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.report import finish
from tests.benchmarks.slo_lanes import OverlappedSimulator
from tests.benchmarks.slo_simulator import Simulator
from tests.benchmarks.slo_traces import REACTION_S, SECONDS, Verdict, judge, make, recorded


def measure(traces: int, *, overlaps: bool, first: int = 0) -> list[Verdict]:
    """Run so many traces, seeds `first` and on."""
    found, simulator = [], OverlappedSimulator if overlaps else Simulator
    for seed in range(first, first + traces):
        trace = make(seed, overlaps=overlaps)
        found += judge(trace, simulator(trace.sources, trace.load, seed=seed))
    return found


def replay(path: Path) -> list[Verdict]:
    """Run the control on a load that `tests.benchmarks.overload` recorded."""
    trace = recorded(json.loads(path.read_text(encoding="utf-8")))
    return judge(trace, Simulator(trace.sources, trace.load, seed=0))


def summary(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the figures of some streams."""
    frames, counted = sum(v.frames for v in verdicts), sum(v.counted for v in verdicts)
    recovered = sorted(v.recovered_s for v in verdicts if v.recovered_s is not None)
    return {
        "streams": len(verdicts),
        "frames": frames,
        "painted_share": round(sum(v.painted for v in verdicts) / frames, 4),
        "passed_over_share": round(sum(v.passed_over for v in verdicts) / frames, 4),
        "counted_share": round(counted / frames, 4),
        "missed_share_of_counted": round(sum(v.missed for v in verdicts) / max(1, counted), 6),
        "missed_share_in_all": round(sum(v.missed_in_all for v in verdicts) / frames, 4),
        "worst_delay_ms": round(max(v.worst_ms for v in verdicts)),
        "worst_delay_share_of_bound": round(max(v.worst_ms / v.bound_ms for v in verdicts), 3),
        "recovery_s_p50": round(recovered[len(recovered) // 2], 2) if recovered else None,
        "recovery_s_worst": round(recovered[-1], 2) if recovered else None,
        "changes_a_minute": round(sum(v.changes for v in verdicts) / len(verdicts) / SECONDS * 60, 2),
        "with_faults": sum(bool(v.faults) for v in verdicts),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, say how it went, write the report; return the exit status."""
    options = _options(arguments)
    if options.recorded:
        verdicts = replay(options.recorded)
    else:
        verdicts = measure(options.traces, overlaps=options.overlaps, first=options.first)
    figures = {"all": summary(verdicts)}
    for kind in sorted({v.kind for v in verdicts}):
        figures[kind] = summary([v for v in verdicts if v.kind == kind])
    for kind, shares in figures.items():
        print(kind, shares)
    report = {"streams": len(verdicts), "seconds_each": SECONDS, "reaction_s": REACTION_S, **figures}
    faults = [f"{v.kind} {v.seed}: {fault}" for v in verdicts for fault in v.faults]
    return finish(report, faults, options.report)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--traces", type=int, default=1000, help="random loads")
    parser.add_argument("--first", type=int, default=0, help="seed of the first, the others follow")
    parser.add_argument("--overlaps", action="store_true", help="encode and decode while denoising")
    parser.add_argument("--recorded", type=Path, help="instead: the report of an overload, played again")
    parser.add_argument("--report", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
