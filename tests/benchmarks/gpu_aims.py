"""What issue 4 aims at on one Hopper GPU, and what a report says of each: met, not met, or not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Figure = Literal["FPS", "first frame, warm, ms", "one chunk beyond gathering, p50, ms"]
Verdict = Literal["met", "not met", "not run"]
FPS: Figure = "FPS"
FIRST: Figure = "first frame, warm, ms"
LATENCY: Figure = "one chunk beyond gathering, p50, ms"


@dataclass(frozen=True, kw_only=True)
class Aim:
    """A bar for one way to paint, whatever else was tried to get there (compiled, tuned, fewer products)."""

    model: str
    size: tuple[int, int]
    steps: int
    figure: Figure
    bar: float
    """At least, of frames a second; at most, of times."""
    weights: str = "bf16"
    vae: str = "wan"

    @property
    def text(self) -> str:
        """For people."""
        width, height = self.size
        way = f"{self.model} {width}x{height}, {self.steps} step{'s' * (self.steps > 1)}, {self.weights}"
        return f"{way}: {self.figure} {'≥' if self.at_least else '≤'} {self.bar:g}"

    @property
    def at_least(self) -> bool:
        """More is better."""
        return self.figure == FPS

    def is_of(self, row: Mapping[str, Any]) -> bool:
        """Whether a measured row paints what the aim is about."""
        mine = (self.model, list(self.size), self.steps, self.weights, self.vae)
        theirs = (row["model"], list(row["size"]), row["steps"], row["weights"], row["vae"])
        return bool(mine == theirs)

    def of(self, row: Mapping[str, Any]) -> float:
        """The figure of a measured row."""
        if self.figure == FPS:
            return float(row["flat_out"]["fps"])
        return float(row["first_frame_warm_ms"] if self.figure == FIRST else row["paced"]["p50_ms"])


SMALL, LARGE = "wan-1.3b", "wan-14b"
SQUARE, WIDE = (512, 512), (832, 480)
AIMS: tuple[Aim, ...] = (
    Aim(model=SMALL, size=SQUARE, steps=1, figure=FPS, bar=160),
    Aim(model=SMALL, size=SQUARE, steps=2, figure=FPS, bar=110),
    Aim(model=SMALL, size=WIDE, steps=2, figure=FPS, bar=65),
    Aim(model=LARGE, size=SQUARE, steps=1, figure=FPS, bar=50),
    Aim(model=LARGE, size=SQUARE, steps=1, figure=FPS, bar=58, weights="fp8"),
    Aim(model=SMALL, size=SQUARE, steps=1, figure=FIRST, bar=250),
    Aim(model=SMALL, size=SQUARE, steps=1, figure=LATENCY, bar=60),
)


def verdicts(rows: Sequence[Mapping[str, Any]], aims: Sequence[Aim] = AIMS) -> list[dict[str, Any]]:
    """Of each aim: its words, verdict, best figure, and the row that has it."""
    return [_verdict(aim, [row for row in rows if aim.is_of(row)]) for aim in aims]


def _verdict(aim: Aim, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not rows:
        verdict: Verdict = "not run"
        return {"aim": aim.text, "verdict": verdict, "measured": None, "row": None}
    best = (max if aim.at_least else min)(rows, key=aim.of)
    measured = aim.of(best)
    verdict = "met" if (measured >= aim.bar if aim.at_least else measured <= aim.bar) else "not met"
    return {"aim": aim.text, "verdict": verdict, "measured": measured, "row": best["name"]}
