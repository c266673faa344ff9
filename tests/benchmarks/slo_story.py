"""One simulated trace, told chunk by chunk: why did the control do that?

    python -m tests.benchmarks.slo_story 137 --from-s 7 --to-s 14
    python -m tests.benchmarks.slo_story 11 --overlaps --stream 1

A line is a chunk: when it was handed over, the machine's true load then, what the chunk took and how late
its first frame was (`!`: beyond the limit), the load as the control knows it, and the plans of before and
after by their places in the ladder (`S`: it settles, `x`: nothing fits). Last, whether a frame of then counts
(`must`), and the number of the best plan that truly fits; -1: none does.
"""

from __future__ import annotations

import argparse
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.slo_lanes import OverlappedSimulator
from tests.benchmarks.slo_simulator import Result, Simulator
from tests.benchmarks.slo_traces import GRID_S, Trace, best_places, counted, judge, make

from limner.engine.slo import control
from limner.engine.slo_cost import Room
from limner.engine.slo_plan import Limits, Plan, ladder, level_of
from limner.engine.slo_state import Chunk, SloState


@dataclass(frozen=True, kw_only=True)
class Line:
    """One call of the control."""

    chunk: Chunk
    before: SloState
    after: SloState
    room: Room


class Witness:
    """Decides as `control` does, and notes what it was told of one stream."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.lines: list[Line] = []

    def __call__(self, state: SloState, limits: Limits, chunk: Chunk, room: Room) -> SloState:
        """As `control`."""
        after = control(state, limits, chunk, room)
        if limits is self._limits:
            self.lines.append(Line(chunk=chunk, before=state, after=after, room=room))
        return after


def story(trace: Trace, number: int, lines: Sequence[Line], result: Result) -> Iterator[str]:
    """Give the lines of one stream."""
    source = trace.sources[number]
    yield f"{trace.kind} {trace.seed}, stream {number} of {len(trace.sources)}: {source.limits}"
    for level, ways in enumerate(ladder(source.limits)):
        for way, plan in enumerate(ways):
            truly_ms, span_ms = source.truth.chunk_ms(plan), plan.span_ms(source.limits.fps)
            yield f"  {level}.{way} {_words(plan)}: {truly_ms:.0f} ms of {span_ms:.0f}"
    must, fits = counted(trace, number), best_places(trace, number)
    lost, since_s = sorted(result.lost), 0.0
    for line in lines:
        now_s = line.chunk.now_s
        gone = bisect_left(lost, now_s) - bisect_left(lost, since_s)
        place = min(int(now_s / GRID_S), len(must) - 1)
        late = "!" if line.chunk.delay_ms > source.limits.latency_ms else " "
        yield (
            f"{now_s:7.3f} load {trace.load(now_s):5.2f} took {line.chunk.chunk_ms:5.0f}"
            f" late {line.chunk.delay_ms:5.0f}{late}"
            f" knows {line.after.load:5.2f} {_place(line.before, source.limits)}"
            f" -> {_place(line.after, source.limits)} share {line.room.share:.2f}"
            f" others {line.room.others_ms:4.0f} patience {line.after.patience_s:.1f}"
            f"{f' lost {gone}' if gone else ''}  {'must' if must[place] else '-'} {fits[place]}"
        )
        since_s = now_s


def _place(state: SloState, limits: Limits) -> str:
    rungs = ladder(limits)
    level = level_of(state.plan, rungs)
    marks = ("S" if state.is_settling else " ") + (" " if state.is_feasible else "x")
    return f"{level}.{rungs[level].index(state.plan)}{marks}"


def _words(plan: Plan) -> str:
    mode = "batch" if plan.stream_batch else "single"
    size = f"{plan.size[0]}×{plan.size[1]}"
    return f"{plan.steps} steps {mode}, chunk {plan.chunk_latents}, {size}, 1 of {plan.frame_step}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell the story; return 0."""
    options = _options(arguments)
    trace = make(options.seed, overlaps=options.overlaps)
    witness = Witness(trace.sources[options.stream].limits)
    simulator = (OverlappedSimulator if options.overlaps else Simulator)(
        trace.sources, trace.load, seed=options.seed, decide=witness
    )
    verdict = judge(trace, simulator)[options.stream]
    told = [one for one in witness.lines if options.from_s <= one.chunk.now_s <= options.to_s]
    for line in story(trace, options.stream, told, simulator.results[options.stream]):
        print(line)
    print(verdict, verdict.faults)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("seed", type=int, help="of the trace")
    parser.add_argument("--stream", type=int, default=0, help="which of its streams, from 0")
    parser.add_argument("--overlaps", action="store_true", help="encode and decode while denoising")
    parser.add_argument("--from-s", type=float, default=0.0)
    parser.add_argument("--to-s", type=float, default=40.0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
