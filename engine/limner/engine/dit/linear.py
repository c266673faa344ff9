"""Linear layers that can be packed for inference on a CPU.

PyTorch's own bfloat16 linear on a CPU copies the bias and reorders the weight at every call, and its GELU
takes longer than the product before it. Packed, oneDNN keeps the weight in its own order and adds bias and
GELU while the result is in registers. These are the operators that torch.compile uses for the same purpose.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class PackedLinear:
    """One product with a weight in oneDNN's own order: bfloat16, CPU, inference only."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)
        self._bias = bias.detach()

    def __call__(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """[..., in] → [..., out], then GELU in its tanh form when asked."""
        name, form = ("gelu", "tanh") if gelu else ("none", "")
        out = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, name, [], form)
        return cast(Tensor, out)


def can_pack(weight: Tensor) -> bool:
    """Whether packing works and helps for this weight."""
    native = (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch has no types here
    )
    return bool(native and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Linear(nn.Linear):
    """nn.Linear, and faster after `pack`."""

    _packed: PackedLinear | None = None

    def pack(self) -> None:
        """Use a packed copy of the weight from now on. Later changes of the weight do not show."""
        if can_pack(self.weight):
            self._packed = PackedLinear(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        return super().forward(x) if self._packed is None else self._packed(x)

    def forward_gelu(self, x: Tensor) -> Tensor:
        """The same, then GELU in its tanh form."""
        if self._packed is not None:
            return self._packed(x, gelu=True)
        return functional.gelu(super().forward(x), approximate="tanh")


class Mlp(nn.Sequential):
    """Linear, GELU (tanh), linear; its parameters are `0` and `2`, as in Wan's files."""

    def __init__(self, dim_in: int, dim: int, dim_out: int) -> None:
        super().__init__(Linear(dim_in, dim), nn.GELU("tanh"), Linear(dim, dim_out))

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim_in] → [..., dim_out]."""
        first, last = cast(Linear, self[0]), cast(Linear, self[2])
        return last(first.forward_gelu(x))  # type: ignore[no-any-return]
