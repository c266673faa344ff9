"""Convolutions over time with fewer products (Toom–Cook, which over pictures is called Winograd's).

T frames of a convolution with 3 taps over time are the middle of a product of polynomials. Evaluated at T + 2
points, they need T + 2 convolutions of single frames instead of 3·T: half of the work for 4 frames, two
thirds for 2. The same numbers but for rounding, which grows: in bfloat16 about 2.3 times.

    from 6 frames, 6 sums of them → a convolution of single frames each → from 6 results, 4 sums of them

Source: A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks (2015), in one dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from limner.engine.fusing import fusable

Matrix = tuple[tuple[float, ...], ...]

_TAPS = 3
_POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(-1, 2))
"""Where the polynomials are evaluated, besides at infinity: small, so that rounding grows little."""
FRAMES = (2, 4)
"""At once: for one there is nothing to be won."""
_POINT_OF_BIAS = 1  # At 1, every power is 1: what is added there is added to every frame.


@dataclass(frozen=True, slots=True)
class Transform:
    """Three matrices with `after · ((kernel · taps) ∘ (before · frames))` = the convolution."""

    before: Matrix
    """[T + 2, T + 2]: sums of the frames, two earlier ones first."""
    kernel: Matrix
    """[T + 2, 3]: sums of the taps, the earliest first."""
    after: Matrix
    """[T, T + 2]: sums of the products."""


@cache
def transform(frames: int) -> Transform:
    """For `frames` frames at once, 2 or 4."""
    points = _POINTS[: frames + _TAPS - 2]
    others = [[p for p in points if p != point] for point in points]
    spread = [prod(point - root for root in roots) for point, roots in zip(points, others, strict=True)]
    before = [[*_from_roots(roots), Fraction(0)] for roots in others] + [_from_roots(points)]
    kernel = [[point**tap / spread[i] for tap in range(_TAPS)] for i, point in enumerate(points)]
    kernel += [[Fraction(tap == _TAPS - 1) for tap in range(_TAPS)]]
    after = [[*(point**t for point in points), Fraction(t == frames - 1)] for t in range(frames)]
    return Transform(before=_floats(before), kernel=_floats(kernel), after=_floats(after))


class TimeKernels:
    """The weights of one causal 3×3×3 convolution, made ready for so many frames at once."""

    def __init__(self, weight: Tensor, frames: int) -> None:
        """`weight` [C_out, C_in, 3, 3, 3] is read in float32, and rounded once."""
        self.frames_of_window = frames + _TAPS - 1
        self._source = _identity(weight)
        self._transform = transform(frames)
        taps = torch.tensor(self._transform.kernel, device=weight.device)
        kernels = torch.einsum("it,octhw->iochw", taps, weight.float()).to(weight.dtype)
        last = weight.is_contiguous(memory_format=torch.channels_last_3d)
        layout = torch.channels_last if last else torch.contiguous_format
        self._kernels = [kernel.contiguous(memory_format=layout) for kernel in kernels]
        # All of these are short sums of powers of two, exact in any type.
        self._before, self._after = (
            torch.tensor(matrix, dtype=weight.dtype, device=weight.device)
            for matrix in (self._transform.before, self._transform.after)
        )

    def is_of(self, weight: Tensor) -> bool:
        """Whether it was made of this weight, as it is now."""
        return self._source == _identity(weight)

    def over(self, window_BCTHW: Tensor, bias: Tensor | None = None) -> Tensor:
        """T frames with two before them, [B, C_in, T + 2, H, W] → [B, C_out, T, H, W]."""
        window_BNHWC = window_BCTHW.permute(0, 2, 3, 4, 1)
        sums = _sums(self._transform.before, self._before, window_BNHWC).unbind(1)
        products = [
            functional.conv2d(
                frame_BHWC.permute(0, 3, 1, 2),
                kernel,
                bias if point == _POINT_OF_BIAS else None,
                padding=1,
            ).permute(0, 2, 3, 1)
            for point, (frame_BHWC, kernel) in enumerate(zip(sums, self._kernels, strict=True))
        ]
        del sums
        frames_BTHWC = _sums(self._transform.after, self._after, products)
        return frames_BTHWC.permute(0, 4, 1, 2, 3)


def _identity(weight: Tensor) -> tuple[object, ...]:
    try:
        version = weight._version
    except RuntimeError:  # Made in inference mode: nobody counts its changes.
        version = 0
    return weight.data_ptr(), version, weight.dtype, weight.device


@fusable
def _sums(matrix: Matrix, matrix_ON: Tensor, frames: Tensor | Sequence[Tensor]) -> Tensor:
    """Weighted sums of frames [B, H, W, C], or of all [B, N, H, W, C] → [B, O, H, W, C].

    To a compiler, all in one pass over the frames. Without one, each sum would be a pass of its own, so it
    is a product of matrices.
    """
    if torch.compiler.is_compiling():
        each = frames.unbind(1) if isinstance(frames, Tensor) else frames
        return torch.stack([_sum(row, each) for row in matrix], 1)
    frames_BNHWC = frames if isinstance(frames, Tensor) else torch.stack(list(frames), 1)
    sums_BOn = torch.matmul(matrix_ON, frames_BNHWC.flatten(2))
    return sums_BOn.view(*sums_BOn.shape[:2], *frames_BNHWC.shape[2:])


def _sum(row: tuple[float, ...], frames: Sequence[Tensor]) -> Tensor:
    (factor, frame), *rest = [(f, x) for f, x in zip(row, frames, strict=True) if f]
    total = frame.float() * factor
    for factor, frame in rest:
        total = total + frame.float() * factor
    return total.to(frames[0].dtype)


def _from_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the polynomial with these roots, lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*coefficients, Fraction(0)]
        coefficients = [a - root * b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _floats(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(map(float, row)) for row in rows)
