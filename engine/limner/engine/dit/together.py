"""Rows of several caches, even of several streams, through one forward: they share the matrices.

Each row keeps its own past, text and noise level. Whoever wants rows denoised writes a generator that
yields `Rows` and is sent their velocity; `run_together` drives any number of them in lockstep.

Legend: R rows, T latent frames of a chunk, C channels, H×W latent pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from limner.engine.dit.attention import History
from limner.engine.dit.context import TextContext, text_of_rows
from limner.engine.dit.model import CausalDiT

Result = TypeVar("Result")


@dataclass(frozen=True)
class Rows:
    """Rows with one history, ready for a forward."""

    x_RTCHW: Tensor
    """Noised latents, float32."""
    told_R: Tensor
    """Noise level that the model is told, 0..1."""
    texts: Sequence[TextContext]
    """One a row, each of one row."""
    history: History
    """A cache that is ready to take these rows in."""
    alone: Callable[[Rows], Tensor] | None = None
    """Gives their velocity in a way of its own where nobody shares the forward; None: as everyone."""


Work = Generator[Rows, Tensor, Result]
"""Yields rows, is sent their velocity [R, T, C, H, W] in float32, and returns a result."""


@dataclass(frozen=True)
class Histories:
    """Several histories side by side, each of a number of neighbouring rows."""

    parts: Sequence[tuple[int, History]]

    def attend(self, layer: int, q_RNHK: Tensor, k_RNHK: Tensor, v_RNHK: Tensor) -> Tensor:
        """Attention of each row's queries over its own window, as [R, N, H*K]."""
        counts = [rows for rows, _ in self.parts]
        split = zip(*(t.split_with_sizes(counts) for t in (q_RNHK, k_RNHK, v_RNHK)), strict=True)
        return torch.cat(
            [history.attend(layer, *qkv) for (_, history), qkv in zip(self.parts, split, strict=True)]
        )


def velocities(dit: CausalDiT, parts: Sequence[Rows]) -> list[Tensor]:
    """Velocity of each part, float32, by one forward for all. All have the same shape but for the rows."""
    if len(parts) == 1 and parts[0].alone is not None:
        return [parts[0].alone(parts[0])]
    counts = [len(part.x_RTCHW) for part in parts]
    x_RTCHW = torch.cat([part.x_RTCHW for part in parts]) if len(parts) > 1 else parts[0].x_RTCHW
    told_R = torch.cat([part.told_R for part in parts])
    velocity_RTCHW = dit.denoise(
        x_RTCHW.to(dit.dtype),
        told_R[:, None].expand(-1, x_RTCHW.shape[1]),
        text_of_rows([text for part in parts for text in part.texts]),
        parts[0].history if len(parts) == 1 else Histories([(len(p.x_RTCHW), p.history) for p in parts]),
    )
    return list(velocity_RTCHW.float().split_with_sizes(counts))


def run(dit: CausalDiT, work: Work[Result]) -> Result:
    """Do a piece of work."""
    return run_together(dit, [work])[0]


def run_together(dit: CausalDiT, works: Sequence[Work[Result]]) -> list[Result]:
    """Do pieces of work in lockstep: rows that are asked for at once and have one shape share a forward."""
    try:
        return _run(dit, works)
    except BaseException:
        for work in works:
            work.close()  # Now, so that whoever is in the middle can tidy up.
        raise


def _run(dit: CausalDiT, works: Sequence[Work[Result]]) -> list[Result]:
    results: dict[int, Result] = {}
    answers: dict[int, Tensor | None] = dict.fromkeys(range(len(works)))
    while answers:
        asked: dict[int, Rows] = {}
        for index, answer in answers.items():
            try:
                # A generator is started by sending None, which its type does not say.
                asked[index] = works[index].send(answer)  # type: ignore[arg-type]
            except StopIteration as end:
                results[index] = end.value
        answers = {}
        for group in _of_one_shape(asked):
            answers |= zip(group, velocities(dit, [asked[index] for index in group]), strict=True)
    return [results[index] for index in range(len(works))]


def _of_one_shape(asked: dict[int, Rows]) -> list[list[int]]:
    groups: dict[torch.Size, list[int]] = {}
    for index, rows in asked.items():
        groups.setdefault(rows.x_RTCHW.shape[1:], []).append(index)
    return list(groups.values())
