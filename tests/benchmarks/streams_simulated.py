"""Many streams over several GPUs, simulated: who is taken in, what they miss, how fair it is.

    python -m tests.benchmarks.streams_simulated --report docs/measurements/streams_simulated.json

1 to 64 alike streams ask one after another, over 1 to 8 cards that each hold the whole model. Whoever is
admitted is painted for 20 s by the engine's own control behind the worker's own intake (`slo_simulator`),
with stage times as counted (`pipeline_cards`). Beside it, the same with everyone let in, dealt out in turn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.pipeline_cards import CARDS, LAUNCH_MS, MODELS, Card, Counted, block_ms, vae_ms
from tests.benchmarks.report import finish
from tests.benchmarks.slo_simulator import Result, Simulator, Source

from limner.engine.slo_admit import Asking, Refused
from limner.engine.slo_cost import REFERENCE_PX, Profile
from limner.engine.slo_devices import place
from limner.engine.slo_plan import FRAMES_PER_LATENT, Limits, Size

SECONDS, SETTLED_S = 20.0, 4.0
"""Frames of the first seconds do not count: the control learns of the load then."""
MOST_MISSED = 0.01
LEAST_JAIN = 0.98
P512: Size = (512, 512)
SIZES: tuple[Size, ...] = (P512, (384, 384))
CAMERA = Limits(fps=24, latency_ms=1000, steps=2, least_steps=1, sizes=SIZES)


def profile_of(model: Counted, card: Card) -> Profile:
    """Stage times of a card in the control's own terms."""
    area = P512[0] * P512[1] / REFERENCE_PX
    encode, decode = vae_ms(model, card, P512)
    forward = LAUNCH_MS * model.dit.layers
    denoise = model.dit.layers * block_ms(model, card, P512)
    return Profile(
        encode=encode / FRAMES_PER_LATENT / area,
        noise=0.01,
        forward=forward,
        latent=(denoise - forward) / area,
        decode=decode / FRAMES_PER_LATENT / area,
        other=0.05,
    )


@dataclass(frozen=True, kw_only=True)
class Line:
    """What became of some streams."""

    model: str
    cards: str
    asked: int
    admitted: int
    missed_share: float
    """Frames late or lost, of those of the streams admitted that were to be painted."""
    painted_share: float
    """Frames painted, of those that came: a plan may pass over every second one."""
    jain: float
    """Of the streams' painted rates on cards of one kind, 1 is alike."""
    worst_delay_ms: float
    refusal: str
    all_missed_share: float
    """The same with everyone let in."""
    all_painted_share: float
    all_jain: float


def simulate(model: str, cards: Sequence[str], asked: int) -> Line:
    """Run one line."""
    profiles = [profile_of(MODELS[model], CARDS[name]) for name in cards]
    admitted, refusal = _admitted(profiles, asked)
    everyone = [asked // len(cards) + (device < asked % len(cards)) for device in range(len(cards))]
    inside, all_in = list(_painted(profiles, admitted)), list(_painted(profiles, everyone))
    return Line(
        model=model,
        cards=f"{len(cards)} × {cards[0]}" if len(set(cards)) == 1 else " + ".join(cards),
        asked=asked,
        admitted=sum(admitted),
        missed_share=_missed_share(inside),
        painted_share=_painted_share(inside),
        jain=jain([_rate(one) for one in inside]),
        worst_delay_ms=round(max(d for one in inside for p, d in one.painted if p > SETTLED_S)),
        refusal=refusal,
        all_missed_share=_missed_share(all_in),
        all_painted_share=_painted_share(all_in),
        all_jain=jain([_rate(one) for one in all_in]),
    )


def _admitted(profiles: Sequence[Profile], asked: int) -> tuple[list[int], str]:
    """Return how many streams each device gets, and what the first that is refused hears."""
    newcomer = [Asking(limits=CAMERA, profile=profile) for profile in profiles]
    running: list[list[Asking]] = [[] for _ in profiles]
    for _ in range(asked):
        where = place(running, newcomer, sizes=SIZES)
        if isinstance(where, Refused):
            return [len(there) for there in running], where.sentence
        running[where].append(newcomer[where])
    return [len(there) for there in running], ""


def _painted(profiles: Sequence[Profile], counts: Sequence[int]) -> Iterator[Result]:
    for device, (profile, count) in enumerate(zip(profiles, counts, strict=True)):
        # Cameras do not begin at the same moment.
        phases = [number / count / CAMERA.fps * FRAMES_PER_LATENT for number in range(count)]
        sources = [Source(limits=CAMERA, truth=profile, told=profile, first_s=at_s) for at_s in phases]
        if sources:
            yield from Simulator(sources, lambda _: 1.0, seed=device).run(SECONDS)


def _missed_share(results: Sequence[Result]) -> float:
    late = sum(p > SETTLED_S and d > CAMERA.latency_ms for one in results for p, d in one.painted)
    lost = sum(at_s > SETTLED_S for one in results for at_s in one.lost)
    wanted = sum(at_s > SETTLED_S for one in results for at_s, _ in one.painted) + lost
    return round((late + lost) / max(1, wanted), 4)


def _painted_share(results: Sequence[Result]) -> float:
    return round(sum(_rate(one) for one in results) / len(results) / CAMERA.fps, 3)


def _rate(result: Result) -> float:
    return sum(at_s > SETTLED_S for at_s, _ in result.painted) / (SECONDS - SETTLED_S)


def jain(rates: Sequence[float]) -> float:
    """Jain's index: 1 where all are alike, 1/n where one has all."""
    squares = sum(rate * rate for rate in rates)
    return round(sum(rates) ** 2 / (len(rates) * squares), 4) if squares else 0.0


def broken(line: Line) -> list[str]:
    """What a line was to hold and does not."""
    name = f"{line.asked} streams of {line.model} on {line.cards}"
    faults = []
    # One that is alone is let in whatever it gets.
    if line.missed_share > MOST_MISSED and line.admitted > len(line.cards.split("+")):
        faults.append(f"{name}: {line.missed_share:.1%} of the frames missed")
    if line.jain < LEAST_JAIN and "+" not in line.cards:
        faults.append(f"{name}: Jain's index {line.jain}")
    if (line.admitted < line.asked) != bool(line.refusal):
        faults.append(f"{name}: {line.admitted} admitted, and said: {line.refusal!r}")
    return faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all, print them, write the report; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--report", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    lines: list[dict[str, Any]] = []
    faults: list[str] = []
    for model, card in (("1.3B", "H100"), ("1.3B, TAEHV", "H100"), ("1.3B, TAEHV", "4090"), ("14B", "H100")):
        for number in (1, 2, 4, 8):
            for asked in (1, 2, 4, 8, 16, 32, 64):
                line = simulate(model, (card,) * number, asked)
                lines.append(asdict(line))
                faults += broken(line)
                print(*asdict(line).values())
    for asked in (2, 4, 8):
        line = simulate("1.3B, TAEHV", ("4090", "3090"), asked)
        lines.append(asdict(line))
        faults += broken(line)
        print(*asdict(line).values())
    report = {"seconds": SECONDS, "camera": str(CAMERA), "lines": lines}
    return finish(report, faults, options.report)


if __name__ == "__main__":
    sys.exit(main())
