"""What is measured on a GPU, the most important first, and what is promised of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tests.benchmarks.gpu_models import Way

Vae = Literal["wan", "taehv"]
Size = tuple[int, int]
SQUARE, WIDE = (512, 512), (832, 480)
FIRST_FRAME_MS, LATENCY_MS = 250.0, 60.0
CAMERA_FPS = 30.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to paint."""

    way: Way
    size: Size
    """(width, height), pixels."""
    steps: int
    graphs: bool = True
    least_fps: float | None = None
    """Promised for one Hopper GPU."""
    most_paced_ms: float | None = None
    """Promised p50 from a chunk's last frame to its painted frames, when they come as from a camera."""
    most_first_ms: float | None = None
    """Promised time to the first painted frames of a stream on a warm engine."""

    @property
    def name(self) -> str:
        """For people, and to look it up by."""
        way = self.way
        extra = [
            way.weights,
            *(["compiled"] if way.compiled else []),
            *(["tuned"] if way.tuned else []),
            *([] if self.graphs else ["no graphs"]),
        ]
        steps = f"{self.steps} step{'s' * (self.steps > 1)}"
        return f"{way.model} {self.size[0]}x{self.size[1]} {steps} {way.vae} {' '.join(extra)}"


def _rows(model: str, size: Size, steps: tuple[int, ...], **way: Any) -> list[Row]:
    return [Row(way=Way(model=model, **way), size=size, steps=n) for n in steps]


SMALL, LARGE = "wan-1.3b", "wan-14b"
ROWS: tuple[Row, ...] = (
    Row(
        way=Way(model=SMALL),
        size=SQUARE,
        steps=1,
        least_fps=160,
        most_paced_ms=LATENCY_MS,
        most_first_ms=FIRST_FRAME_MS,
    ),
    Row(way=Way(model=SMALL), size=SQUARE, steps=2, least_fps=110),
    Row(way=Way(model=SMALL), size=WIDE, steps=2, least_fps=65),
    Row(way=Way(model=SMALL), size=SQUARE, steps=1, graphs=False),
    Row(way=Way(model=SMALL, tuned=True), size=SQUARE, steps=1),
    Row(way=Way(model=SMALL, compiled=True, tuned=True), size=SQUARE, steps=1),
    Row(way=Way(model=LARGE), size=SQUARE, steps=1, least_fps=50),
    Row(way=Way(model=LARGE, weights="fp8"), size=SQUARE, steps=1, least_fps=58),
    *_rows(LARGE, WIDE, (1,), weights="fp8"),
    *_rows(LARGE, SQUARE, (2, 4)),
    *_rows(LARGE, WIDE, (1, 2)),
    *_rows(SMALL, SQUARE, (1, 2), vae="taehv"),
    *_rows(SMALL, WIDE, (1, 2), vae="taehv"),
    *_rows(SMALL, SQUARE, (4,)),
    *_rows(SMALL, WIDE, (1, 4)),
    *_rows(SMALL, SQUARE, (1, 2), weights="fp8"),
    *_rows(LARGE, SQUARE, (1, 2), vae="taehv"),
    *_rows(LARGE, WIDE, (1,), vae="taehv"),
    *_rows(LARGE, SQUARE, (2, 4), weights="fp8"),
    *_rows(LARGE, WIDE, (2, 4), weights="fp8"),
    *_rows(LARGE, WIDE, (4,)),
    *_rows(SMALL, WIDE, (1, 2), weights="fp8"),
    *_rows(SMALL, WIDE, (4,), vae="taehv"),
    *_rows(SMALL, SQUARE, (4,), vae="taehv"),
    *_rows(LARGE, SQUARE, (1,), vae="taehv", weights="fp8"),
)

TINY_ROWS: tuple[Row, ...] = (
    Row(way=Way(model="tiny"), size=(48, 32), steps=1, least_fps=0.01, most_paced_ms=1e6, most_first_ms=1e6),
    Row(way=Way(model="tiny", weights="fp8"), size=(32, 48), steps=2),
    Row(way=Way(model="tiny", vae="taehv"), size=(48, 32), steps=1, graphs=False),
)
"""For a dry run: each way of the real ones once."""


def broken(row: Row, measured: dict[str, Any]) -> list[str]:
    """Sentences about what was promised and not kept."""
    checks = (
        (row.least_fps, measured["flat_out"]["fps"], "FPS", True),
        (
            row.most_paced_ms,
            measured["paced"]["p50_ms"],
            "ms from a chunk's last frame to its picture",
            False,
        ),
        (row.most_first_ms, measured["first_frame_warm_ms"], "ms to the first frame of a warm engine", False),
    )
    return [
        f"{row.name}: {got:g} {what}, promised {'≥' if at_least else '≤'} {bar:g}"
        for bar, got, what, at_least in checks
        if bar is not None and (got < bar if at_least else got > bar)
    ]
