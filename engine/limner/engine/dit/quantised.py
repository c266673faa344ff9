"""Weights of one byte a number, and products with them.

A row of a weight (what makes one output) has a scale of its own, so that its largest number is the largest of
the type. int8 only makes weights small: they are widened for the product, which any device can do. fp8 (e4m3)
makes products faster as well: the rows of the input get scales too, at every call, and the device multiplies
bytes. `torch._scaled_mm` does that on every version of torch that we run on; its public name is too new.

Legend: M rows of the input, K width of the input, N width of the output.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from limner.engine.errors import EngineError
from limner.engine.fusing import fusable

WeightKind = Literal["bf16", "fp8", "int8"]
"""How weights are kept: as they are, or in one byte a number with a scale a row."""

FP8 = torch.float8_e4m3fn
_TYPES: dict[WeightKind, torch.dtype] = {"fp8": FP8, "int8": torch.int8}
_LARGEST = {FP8: 448.0, torch.int8: 127.0}
_LEAST_SCALE = 1e-12
"""A row of zeros needs a scale too."""

_FP8_CAPABILITY = (8, 9)
_FP8_MULTIPLE = 16
_ROWS_AT_ONCE = 1024
"""Rows that are quantised at once, so that a card which only just holds the weights can make them."""

Form = Literal["rows", "whole", "emulated"]
"""Who applies the scales: the device, row by row; we, after a product without any; or we, before a product of
wide numbers."""
_FORMS_OF_DEVICES: tuple[Form, ...] = ("rows", "whole")
"""Those that are fast, the fastest first."""


def quantised(weight_NK: Tensor, kind: WeightKind) -> tuple[Tensor, Tensor]:
    """A weight in one byte a number, [N, K], and the scales of its rows, [N] float32.

    EngineError when its device or its shape cannot have this kind. `kind` is not "bf16".
    """
    dtype = _TYPES[kind]
    if dtype == FP8:
        _check_fp8(weight_NK)
    small_NK = torch.empty_like(weight_NK, dtype=dtype)
    scale_N = torch.empty(len(weight_NK), dtype=torch.float32, device=weight_NK.device)
    for first in range(0, len(weight_NK), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        scaled, scale_M1 = _scaled_rows(weight_NK[rows], _LARGEST[dtype])
        small_NK[rows] = scaled.round() if dtype == torch.int8 else scaled
        scale_N[rows] = scale_M1[:, 0]
    return small_NK, scale_N


def widened(small_NK: Tensor, scale_N: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight that a quantised one stands for, [N, K]."""
    return (small_NK.float() * scale_N[:, None]).to(dtype)


def product(x: Tensor, small_NK: Tensor, scale_N: Tensor, bias_N: Tensor, form: Form) -> Tensor:
    """x [..., K] with a quantised weight, and the bias: [..., N], in x's type. `form`: see `fp8_form`."""
    if small_NK.dtype == FP8:
        x_MK = x.reshape(-1, x.shape[-1])
        return fp8_product(x_MK, small_NK, scale_N, bias_N, form).view(*x.shape[:-1], -1)
    if x.dtype == torch.float16:  # Ends at 65504, which sums of such whole numbers go beyond.
        return functional.linear(x, small_NK.to(x.dtype).mul_(scale_N[:, None]), bias_N)
    # Whole numbers up to 127 are exact in every type that we compute in, so the scale can wait.
    return functional.linear(x, small_NK.to(x.dtype)).mul_(scale_N).add_(bias_N)


def fp8_product(x_MK: Tensor, small_NK: Tensor, scale_N: Tensor, bias_N: Tensor, form: Form) -> Tensor:
    """The same for fp8, [M, N]; all forms agree but for rounding."""
    small_MK, scale_M1 = _fp8_rows(x_MK)
    multiply = partial(torch._scaled_mm, small_MK, small_NK.t(), use_fast_accum=True)
    if form == "rows":
        bias_N, dtype = bias_N.to(x_MK.dtype), x_MK.dtype
        return multiply(scale_a=scale_M1, scale_b=scale_N[None], bias=bias_N, out_dtype=dtype)
    if form == "whole":
        one = scale_M1.new_ones(())
        out_MN = multiply(scale_a=one, scale_b=one, out_dtype=torch.float32)
    else:
        out_MN = small_MK.float() @ small_NK.float().t()
    return (out_MN * scale_M1).mul_(scale_N).add_(bias_N).to(x_MK.dtype)


@cache
def fp8_form(device: torch.device) -> Form:
    """The best form that works on a device, by trying: which do depends on chip, driver and library.

    RTX 50 cards refuse scales of rows, for one. On a CPU nothing is faster than anything. To be asked before
    the first product: a compiler that traces one cannot try anything. EngineError when a GPU can do neither.
    """
    if device.type != "cuda":
        return "emulated"
    for form in _FORMS_OF_DEVICES:
        if works_on(device, form):
            return form
    raise EngineError(
        f"fp8 does not work on this GPU with this driver and torch {torch.__version__};"
        " update the driver, or choose int8 or bf16"
    )


def works_on(device: torch.device, form: Form) -> bool:
    """Whether a product in this form runs on the device."""
    x = torch.ones(2 * _FP8_MULTIPLE, 2 * _FP8_MULTIPLE, dtype=torch.bfloat16, device=device)
    try:
        fp8_product(x, x.to(FP8), torch.ones_like(x[0], dtype=torch.float32), x[0], form)
    except torch.OutOfMemoryError:
        raise  # That says nothing of the form.
    except (RuntimeError, ValueError):
        return False
    return True


@fusable
def _fp8_rows(x_MK: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in fp8, and their scales [M, 1]."""
    scaled_MK, scale_M1 = _scaled_rows(x_MK, _LARGEST[FP8])
    return scaled_MK.to(FP8), scale_M1


def _scaled_rows(x_MK: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Rows scaled so that the largest number of each is `largest`, and their scales [M, 1]; float32."""
    x_MK = x_MK.float()
    scale_M1 = x_MK.abs().amax(-1, keepdim=True).clamp(min=_LEAST_SCALE) / largest
    return x_MK / scale_M1, scale_M1


def _check_fp8(weight_NK: Tensor) -> None:
    if any(side % _FP8_MULTIPLE for side in weight_NK.shape):
        raise EngineError(
            f"fp8 weights need layers whose widths are multiples of {_FP8_MULTIPLE}, this model has one of"
            f" {list(weight_NK.shape)}; choose int8 or bf16"
        )
    if weight_NK.device.type == "cuda":
        capability = torch.cuda.get_device_capability(weight_NK.device)
        if capability < _FP8_CAPABILITY:
            raise EngineError(
                "fp8 weights need a GPU of compute capability 8.9 or more (RTX 40, L4, H100),"
                f" this one has {capability[0]}.{capability[1]}; choose int8 or bf16"
            )
