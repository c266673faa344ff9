"""Rows of several caches, even of several streams, through one forward: they share the matrices.

Each row keeps its own past, text and noise level. Whoever wants rows denoised writes a generator that
yields `Rows` and is sent their velocity; `run_together` drives any number of them in lockstep. What fails in
one of them is its own matter: the others go on.

Legend: R rows, T latent frames of a chunk, C channels, H×W latent pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from limner.engine.dit.attention import History
from limner.engine.dit.context import TextContext, text_of_rows
from limner.engine.dit.model import CausalDiT

Result = TypeVar("Result")
OnFault = Callable[[Exception], None]
log = logging.getLogger("limner.engine")


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
    """Do pieces of work in lockstep: rows that are asked for at once and have one shape share a forward.

    Raises the first fault of any, when the others are through.
    """
    results: list[Result] = []
    for outcome in run_each(dit, works):
        if isinstance(outcome, Exception):
            raise outcome
        results.append(outcome)
    return results


def run_each(
    dit: CausalDiT, works: Sequence[Work[Result]], on_fault: OnFault = lambda _: None
) -> list[Result | Exception]:
    """As `run_together`, each by itself: where one fails, its fault stands in the place of its result.

    `on_fault` hears of forwards that failed for several at once; each of them has gone alone then.
    """
    try:
        return _run(dit, works, on_fault)
    except BaseException:
        for work in works:
            work.close()  # Now, so that whoever is in the middle can tidy up.
        raise


def _run(dit: CausalDiT, works: Sequence[Work[Result]], on_fault: OnFault) -> list[Result | Exception]:
    outcomes: dict[int, Result | Exception] = {}
    answers: dict[int, Tensor | Exception | None] = dict.fromkeys(range(len(works)))
    while answers:
        asked: dict[int, Rows] = {}
        for index, answer in answers.items():
            try:
                asked[index] = _answered(works[index], answer)
            except StopIteration as end:
                outcomes[index] = end.value
            except Exception as fault:
                outcomes[index] = fault
        answers = {}
        for group in _of_one_shape(asked):
            answers |= _velocities_of(dit, {index: asked[index] for index in group}, on_fault)
    return [outcomes[index] for index in range(len(works))]


def _answered(work: Work[Result], answer: Tensor | Exception | None) -> Rows:
    if isinstance(answer, Exception):
        return work.throw(answer)
    # A generator is started by sending None, which its type does not say.
    return work.send(answer)  # type: ignore[arg-type]


def _velocities_of(
    dit: CausalDiT, asked: dict[int, Rows], on_fault: OnFault
) -> dict[int, Tensor | Exception]:
    """By one forward, or where that fails, by one each: nobody's chunk is lost for another's sake.

    A forward stores in the histories what it would have stored the time before: it can be done again.
    """
    if len(asked) > 1:
        try:
            return dict(zip(asked, velocities(dit, list(asked.values())), strict=True))
        except Exception as fault:
            log.warning("%d streams do not go through one forward: %s; each goes alone", len(asked), fault)
            on_fault(fault)
    # Outside of the handler: an error holds on to what was alive where it was raised.
    return {index: _alone(dit, rows) for index, rows in asked.items()}


def _alone(dit: CausalDiT, rows: Rows) -> Tensor | Exception:
    try:
        return velocities(dit, [rows])[0]
    except Exception as fault:
        return fault


def _of_one_shape(asked: dict[int, Rows]) -> list[list[int]]:
    groups: dict[torch.Size, list[int]] = {}
    for index, rows in asked.items():
        groups.setdefault(rows.x_RTCHW.shape[1:], []).append(index)
    return list(groups.values())
