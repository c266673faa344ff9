"""Bytes of a DiT that is spread over ranks: of some of its blocks, and of what a rank has beside them.

As in `plan_dit`, tests hold what is predicted here to what the engine allocates, to the byte.
"""

from __future__ import annotations

from dataclasses import replace

from limner.models.plan_dit import (
    FLOAT_BYTES,
    DitSizes,
    Weights,
    cache_bytes,
    dit_parameters,
    dit_weight_bytes,
    head_parameters,
    text_bytes,
)


def blocks_weight_bytes(dit: DitSizes, weights: Weights, *, blocks: int, number_bytes: int = 2) -> int:
    """Bytes of the weights of so many blocks; `number_bytes`: of a number that is not quantised."""
    some, none = (dit_weight_bytes(_of(dit, count), weights, number_bytes) for count in (blocks, 0))
    return some - none


def ends_weight_bytes(dit: DitSizes, *, is_first: bool, number_bytes: int = 2) -> int:
    """Bytes of a rank's weights beside its blocks: the head, which all have, and the first's embeddings."""
    return number_bytes * (dit_parameters(_of(dit, 0)).other if is_first else head_parameters(dit))


def blocks_cache_bytes(
    dit: DitSizes, *, blocks: int, rows: int, width: int, height: int, number_bytes: int = 2
) -> int:
    """Bytes of a stream's keys and values in so many blocks, with `rows` denoising steps."""
    return cache_bytes(_of(dit, blocks), rows=rows, width=width, height=height, number_bytes=number_bytes)


def blocks_text_bytes(dit: DitSizes, *, blocks: int, text_tokens: int, number_bytes: int = 2) -> int:
    """Bytes of one prompt's keys and values in so many blocks."""
    some, none = (
        text_bytes(_of(dit, count), text_tokens=text_tokens, number_bytes=number_bytes)
        for count in (blocks, 0)
    )
    return some - none


def embedded_text_bytes(dit: DitSizes, *, text_tokens: int, number_bytes: int = 2) -> int:
    """Bytes of one prompt as each rank has it, to make keys and values of for blocks that come."""
    return text_tokens * dit.dim * number_bytes


def packet_bytes(dit: DitSizes, *, width: int, height: int, number_bytes: int = 2) -> int:
    """Bytes of a forward on its way from rank to rank: tokens of a latent frame, and its times."""
    summed_bytes = FLOAT_BYTES if dit.wide_residual else number_bytes
    return (dit.tokens(width, height) + 7) * dit.dim * summed_bytes


def _of(dit: DitSizes, layers: int) -> DitSizes:
    return replace(dit, layers=layers)
