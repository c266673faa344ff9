"""pocket over two ranks, one of which is killed or stopped while live: for how long does no frame come?

    .venv/bin/python -m tests.benchmarks.pipeline_failures --report docs/measurements/pipeline_failures.json

Through a real daemon, at 30 frames a second. Bars: noticed within 2 s, painted again within 10 s.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from tests.benchmarks import report
from tests.distributed.test_crew_daemon import TWO, Live
from tests.support.daemon import running_daemon

from limner.daemon.client_session import ClientSession, hello_for
from limner.daemon.protocol import Change

BAR_NOTICED_S, BAR_PAINTED_S = 2.0, 10.0
WATCHED_S = 12.0
"""From the loss of a rank until after it has come back."""


def measure(number: signal.Signals) -> dict[str, Any]:
    """Lose a rank in one way."""
    with running_daemon("pocket", threads=2, options=[TWO]) as daemon:
        daemon.wait_ready()
        hello = hello_for("clip", "demo", (640, 360), 30.0, Change(strength=1.0, seed=1))
        with ClientSession(hello, daemon.runtime_dir) as session:
            live = Live(session, daemon)
            live.paints()
            lost = live.until_ranks(2)[1].pid
            live.paints(30)
            return {"signal": number.name} | _losing(live, lost, number)


def _losing(live: Live, pid: int, number: signal.Signals) -> dict[str, Any]:
    began_s = time.monotonic()
    painted_s = [0.0]
    noticed_s = back_s = looked_s = 0.0
    os.kill(pid, number)
    while (now_s := time.monotonic() - began_s) < WATCHED_S:
        if live.frame():
            painted_s.append(now_s)
        if now_s - looked_s < 0.1:
            continue
        looked_s = now_s
        pids = [rank.pid for rank in live.ranks()]
        noticed_s = noticed_s or (now_s if pid not in pids else 0.0)
        back_s = back_s or (now_s if noticed_s and len(pids) == 2 and pid not in pids else 0.0)
    gaps = sorted(((b - a, a) for a, b in itertools.pairwise(painted_s)), reverse=True)
    return {
        "without_it_s": round(noticed_s, 2),
        "taken_in_again_s": round(back_s, 2),
        "longest_gaps": [{"s": round(gap, 2), "at_s": round(at, 2)} for gap, at in gaps[:3]],
    }


def broken(runs: Sequence[dict[str, Any]]) -> list[str]:
    """What was promised and not kept."""
    out = []
    for run in runs:
        name = run["signal"]
        if run["longest_gaps"][0]["s"] > BAR_PAINTED_S:
            out.append(f"{name}: nothing was painted for {run['longest_gaps'][0]['s']} s")
        if not 0 < run["without_it_s"] <= BAR_NOTICED_S + 0.5:  # The daemon hears of it twice a second.
            out.append(f"{name}: the rank was there for {run['without_it_s']} s (0: for ever)")
        if not run["taken_in_again_s"]:
            out.append(f"{name}: no rank came back within {WATCHED_S:g} s")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both ways, and report."""
    options = report.parser(__doc__).parse_args(arguments)
    load = os.getloadavg()[0]
    runs = [measure(number) for number in (signal.SIGKILL, signal.SIGSTOP)]
    for run in runs:
        print(run)
    return report.finish({"load_before": round(load, 2), "runs": runs}, broken(runs), options.report)


if __name__ == "__main__":
    sys.exit(main())
