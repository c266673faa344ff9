"""What is measured on a GPU, the rows with an aim first. Nothing of the engine is needed to read this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tests.benchmarks.gpu_aims import LARGE, SMALL, SQUARE, WIDE

Weights = Literal["bf16", "fp8"]
Size = tuple[int, int]
CAMERA_FPS = 30.0


@dataclass(frozen=True, kw_only=True)
class Way:
    """A model and how it is kept. What rows with the same `Way` share."""

    model: str
    """A name of the catalogue, without its autoencoder; or "tiny"."""
    vae: Literal["wan", "taehv"] = "wan"
    weights: Weights = "bf16"
    compiled: bool = False
    """Chains of small operations by torch.compile."""
    fewer_products: bool = False
    """The autoencoder's key of that name."""
    tuned: bool = False
    """cuDNN tries its kernels for each convolution and takes the fastest: its first calls take longer."""
    attention: Literal["auto", "cudnn", "flash"] = "auto"
    """Which kernel attention is tried with first; auto: torch's own order."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to paint."""

    way: Way
    size: Size
    """(width, height), pixels."""
    steps: int
    graphs: bool = True

    @property
    def name(self) -> str:
        """For people, and to look it up by."""
        way = self.way
        extra = [
            way.weights,
            *(["fewer products"] if way.fewer_products else []),
            *(["compiled"] if way.compiled else []),
            *(["tuned"] if way.tuned else []),
            *([f"attention by {way.attention}"] if way.attention != "auto" else []),
            *([] if self.graphs else ["no graphs"]),
        ]
        steps = f"{self.steps} step{'s' * (self.steps > 1)}"
        return f"{way.model} {self.size[0]}x{self.size[1]} {steps} {way.vae} {' '.join(extra)}"


def rows_of(*, dry: bool) -> tuple[Row, ...]:
    """Those of a dry run, or the real ones."""
    return TINY_ROWS if dry else ROWS


def _rows(model: str, size: Size, steps: tuple[int, ...], **way: Any) -> list[Row]:
    return [Row(way=Way(model=model, **way), size=size, steps=n) for n in steps]


ROWS: tuple[Row, ...] = (
    *_rows(SMALL, SQUARE, (1, 2)),
    *_rows(SMALL, WIDE, (2,)),
    Row(way=Way(model=SMALL), size=SQUARE, steps=1, graphs=False),
    *_rows(SMALL, SQUARE, (1, 2), fewer_products=True, compiled=True, tuned=True),
    *_rows(SMALL, WIDE, (2,), fewer_products=True, compiled=True, tuned=True),
    *_rows(LARGE, SQUARE, (1,)),
    *_rows(LARGE, SQUARE, (1,), weights="fp8"),
    *_rows(SMALL, SQUARE, (1,), attention="cudnn"),
    *_rows(LARGE, SQUARE, (1,), attention="cudnn"),
    *_rows(SMALL, SQUARE, (1,), tuned=True),
    *_rows(SMALL, SQUARE, (1,), compiled=True, tuned=True),
    *_rows(SMALL, SQUARE, (1,), fewer_products=True),
    *_rows(LARGE, SQUARE, (1,), fewer_products=True, compiled=True, tuned=True),
    *_rows(LARGE, SQUARE, (1,), fewer_products=True, compiled=True, tuned=True, weights="fp8"),
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
    Row(way=Way(model="tiny"), size=(48, 32), steps=1),
    Row(way=Way(model="tiny", weights="fp8"), size=(32, 48), steps=2),
    Row(way=Way(model="tiny", vae="taehv"), size=(48, 32), steps=1, graphs=False),
    Row(way=Way(model="tiny", fewer_products=True), size=(48, 32), steps=1),
    Row(way=Way(model="tiny", attention="cudnn"), size=(48, 32), steps=1),
)
"""For a dry run: each way of the real ones once."""
