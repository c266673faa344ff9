"""The pipeline over real cards, simulated: no GPU, no clock, the same on every machine.

    python -m tests.benchmarks.pipeline_simulated --report docs/measurements/pipeline_simulated.json

Each line: a model on some cards, at a size and a number of steps. FPS is what the event simulator paints as
fast as it goes, with 5 % jitter in every time; the ideal is the same work spread evenly over all cards as if
blocks and autoencoder could be cut anywhere and transfers took no time. What the assumed rates are:
`pipeline_cards.py`. The delay is that of a chunk at 0.85 of the highest rate, from its last frame's coming.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.pipeline_cards import (
    CARDS,
    LINKS,
    MODELS,
    Card,
    Counted,
    Size,
    hop_ms,
    rank_cost,
    vae_ms,
)
from tests.benchmarks.pipeline_simulator import Pipeline, PipelineSimulator
from tests.benchmarks.report import finish

from limner.engine.block_places import CostOf, Places, best_places
from limner.engine.blocks import RankCost, Split, best_split, chunks_in_flight, counts_of, period_ms, split_of

FRAMES = 4
CHUNKS = 160
JITTER = 0.05
LIVE_SHARE = 0.85
LEAST_SHARE = 0.93
"""Of what the split itself allows: bubbles, transfers and jitter may take the rest."""
P480, P512 = (832, 480), (512, 512)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One line."""

    model: str
    cards: tuple[str, ...]
    link: str
    size: Size
    steps: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """What became of it."""

    model: str
    cards: str
    link: str
    size: str
    steps: int
    blocks: list[int]
    encodes: int
    decodes: int
    fps: float
    fps_of_split: float
    """What the busiest rank alone would allow."""
    fps_ideal: float
    fps_even: float
    """With as many blocks on each card, the encoder on the first and the decoder on the last."""
    latency_p50_ms: float
    latency_p99_ms: float
    busy: list[float]


def simulate(setup: Setup, *, chunks: int = CHUNKS, seed: int = 0) -> Line | None:
    """Run one; None: the model does not fit these cards."""
    model, link = MODELS[setup.model], LINKS[setup.link]
    cards = [CARDS[name] for name in setup.cards]
    hop = hop_ms(model, link, setup.size)
    try:
        places = best_places(model.dit.layers, len(cards), _cost_of(model, cards, setup))
    except ValueError:
        return None
    pipeline = pipeline_of(model, cards, setup, places, hop)
    fastest = PipelineSimulator(pipeline, seed=seed).run(chunks)
    span_ms = fastest.period_ms() / LIVE_SHARE
    live = PipelineSimulator(pipeline, seed=seed).run(chunks, span_ms=span_ms)
    return Line(
        model=setup.model,
        cards=" + ".join(setup.cards) if len(set(setup.cards)) > 1 else f"{len(cards)} × {setup.cards[0]}",
        link=setup.link if len(cards) > 1 else "",
        size=f"{setup.size[0]}×{setup.size[1]}",
        steps=setup.steps,
        blocks=counts_of(places.split),
        encodes=places.encodes,
        decodes=places.decodes,
        fps=_fps(fastest.period_ms()),
        fps_of_split=_fps(setup.steps * places.period_ms),
        fps_ideal=_fps(_ideal_ms(model, cards, setup)),
        fps_even=_fps(setup.steps * _even_ms(model, cards, setup)),
        latency_p50_ms=round(live.latency_ms(0.5), 1),
        latency_p99_ms=round(live.latency_ms(0.99), 1),
        busy=[round(share, 3) for share in fastest.busy_shares()],
    )


def pipeline_of(model: Counted, cards: Sequence[Card], setup: Setup, places: Places, hop: float) -> Pipeline:
    """What the simulator needs to know."""
    return Pipeline(
        split=places.split,
        block_ms=tuple(cost.block_ms for cost in places.costs),
        hop_ms=hop,
        encode=(places.encodes, vae_ms(model, cards[places.encodes], setup.size)[0]),
        decode=(places.decodes, vae_ms(model, cards[places.decodes], setup.size)[1]),
        steps=setup.steps,
        in_flight=chunks_in_flight(places.split, places.costs, hop),
        jitter=JITTER,
    )


def _cost_of(model: Counted, cards: Sequence[Card], setup: Setup) -> CostOf:
    def cost(rank: int, encodes: bool, decodes: bool) -> RankCost:
        return rank_cost(model, cards[rank], setup.size, steps=setup.steps, encodes=encodes, decodes=decodes)

    return cost


def _ideal_ms(model: Counted, cards: Sequence[Card], setup: Setup) -> float:
    """Each card does the share of all the work that its speed is of all speeds."""
    rates = []
    for card in cards:
        cost = rank_cost(model, card, setup.size, steps=setup.steps, encodes=True, decodes=True)
        rates.append(1 / (setup.steps * (model.dit.layers * cost.block_ms + cost.fixed_ms)))
    return 1 / sum(rates)


def _even_ms(model: Counted, cards: Sequence[Card], setup: Setup) -> float:
    """A micro-step's period without a scheduler."""
    last = len(cards) - 1
    costs = [_cost_of(model, cards, setup)(rank, rank == 0, rank == last) for rank in range(len(cards))]
    split: Split = best_split(model.dit.layers, [RankCost(1.0)] * len(cards))
    return period_ms(split_of(counts_of(split)), costs)


def _fps(chunk_ms: float) -> float:
    return round(1000 * FRAMES / chunk_ms, 1)


def setups() -> Iterator[Setup]:
    """The reference's own table, then creators' machines."""
    for card, link in (("H100", "NVLink 4"), ("4090", "PCIe 4 ×16")):
        for model in MODELS:
            for size in (P480, P512):
                for number in (1, 2, 4, 8):
                    for steps in (1, 2, 3, 4):
                        yield Setup(model=model, cards=(card,) * number, link=link, size=size, steps=steps)
    for cards, link in MIXED:
        for model in MODELS:
            for steps in (1, 2, 4):
                yield Setup(model=model, cards=cards, link=link, size=P512, steps=steps)


MIXED = (
    (("4090", "3090"), "PCIe 4 ×4"),
    (("4090", "4070"), "PCIe 4 ×4"),
    (("4070", "4090"), "PCIe 4 ×4"),
    (("5090", "4090"), "10 Gbit Ethernet"),
    (("4090", "3090", "3090", "4070"), "PCIe 4 ×4"),
    (("H100", "H100", "A100", "A100"), "PCIe 4 ×16"),
    (("4090",) * 4 + ("3090",) * 4, "10 Gbit Ethernet"),
)

# Frames a second of the published system by number of cards, for 1 to 4 steps.
REFERENCE: dict[tuple[str, str, Size], dict[int, tuple[float, ...]]] = {
    ("H100", "1.3B", P480): {
        1: (20.5, 18.0, 15.7, 14.0),
        2: (39.8, 34.7, 30.7, 27.1),
        4: (44.4, 43.4, 43.1, 42.3),
    },
    ("H100", "1.3B", P512): {
        1: (26.2, 24.0, 21.5, 19.4),
        2: (51.8, 46.9, 41.1, 37.5),
        4: (64.5, 64.0, 62.4, 61.6),
    },
    ("4090", "1.3B", P480): {
        1: (8.6, 7.4, 6.3, 5.6),
        2: (16.6, 14.8, 13.1, 7.8),
        4: (16.6, 16.4, 16.0, 15.7),
    },
    ("4090", "1.3B", P512): {
        1: (12.9, 11.8, 10.4, 7.9),
        2: (24.7, 22.1, 19.3, 18.0),
        4: (25.0, 24.8, 24.3, 24.0),
    },
    ("H100", "14B", P480): {
        1: (12.7, 8.6, 6.5, 5.3),
        2: (25.4, 17.3, 13.2, 10.7),
        4: (39.2, 33.4, 25.0, 20.1),
    },
    ("H100", "14B", P512): {
        1: (18.7, 13.0, 10.1, 8.3),
        2: (37.1, 25.7, 20.1, 16.7),
        4: (58.3, 51.1, 38.4, 31.6),
    },
}


def theirs(setup: Setup) -> float | None:
    """The published system's frames a second; None: not published."""
    rows = REFERENCE.get((setup.cards[0], setup.model, setup.size), {}) if len(set(setup.cards)) == 1 else {}
    figures = rows.get(len(setup.cards))
    return figures[setup.steps - 1] if figures else None


def broken(line: Line) -> list[str]:
    """What a line was to hold and does not."""
    name = f"{line.model} on {line.cards}, {line.size}, {line.steps} steps"
    faults = []
    if line.fps < LEAST_SHARE * line.fps_of_split:
        faults.append(f"{name}: {line.fps} FPS, of {line.fps_of_split} that the split allows")
    if line.fps_of_split < line.fps_even:
        faults.append(f"{name}: an even split is faster ({line.fps_even} FPS)")
    return faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all, print them, write the report; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--report", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    lines, faults = [], []
    for setup in setups():
        line = simulate(setup)
        if line is None:
            lines.append({**asdict(setup), "fits": False})
            continue
        lines.append({**asdict(line), "theirs": theirs(setup)})
        faults += broken(line)
        print(
            line.model,
            line.cards,
            line.size,
            line.steps,
            "steps:",
            line.fps,
            "FPS, ideal",
            line.fps_ideal,
            "even",
            line.fps_even,
            "theirs",
            theirs(setup),
            line.blocks,
            line.encodes,
            line.decodes,
            f"{line.latency_p50_ms:.0f}/{line.latency_p99_ms:.0f} ms",
        )
    return finish({"jitter": JITTER, "chunks": CHUNKS, "lines": lines}, faults, options.report)


if __name__ == "__main__":
    sys.exit(main())
