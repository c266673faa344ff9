"""Linear layers that can be packed for inference on a CPU, quantised, and fused.

PyTorch's own bfloat16 linear on a CPU copies the bias and reorders the weight at every call, and its GELU
takes longer than the product before it. Packed, oneDNN keeps the weight in its own order and adds bias and
GELU while the result is in registers. These are the operators that torch.compile uses for the same purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.engine.dit.lowrank import LowRank
from limner.engine.dit.quantised import Form, WeightKind, fp8_form, product, quantised


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
    """nn.Linear with a bias; smaller after `quantise`, faster after `pack`. Both are for final weights."""

    scale: Tensor | None
    """Of each row of a quantised weight, float32."""
    extra: LowRank | None = None
    """What LoRAs add to the product; whoever fuses products adds it by `with_extra`."""
    form: Form = "emulated"
    """Of a product in fp8."""
    _packed: PackedLinear | None = None

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_in, dim_out)
        self.register_buffer("scale", None, persistent=False)

    def quantise(self, kind: WeightKind) -> None:
        """Keep the weight in another type from now on; on its final device, before `pack`.

        Raises EngineError when the device or the shape cannot have this kind.
        """
        assert self.scale is None and self._packed is None, "quantised or packed already"
        if kind != "bf16":
            weight, self.scale = quantised(self.weight.detach(), kind)
            self.weight = nn.Parameter(weight, requires_grad=False)
        if kind == "fp8":
            self.form = fp8_form(self.weight.device)

    def pack(self) -> None:
        """Keep the weight packed, and only so, from now on: of `weight`, shape and type are left."""
        if can_pack(self.weight):
            self._packed = PackedLinear(self.weight, self.bias)
            self.let_go()

    @property
    def is_packed(self) -> bool:
        """Whether `pack` had an effect."""
        return self._packed is not None

    def let_go(self) -> None:
        """Free the weight: it is held elsewhere, in another form."""
        self.weight = nn.Parameter(self.weight.to("meta"), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        return self.with_extra(self._product(x), x)

    def forward_gelu(self, x: Tensor) -> Tensor:
        """The same, then GELU in its tanh form."""
        if self._packed is not None and self.extra is None:
            return self._packed(x, gelu=True)
        return functional.gelu(self(x), approximate="tanh")

    def with_extra(self, out: Tensor, x: Tensor) -> Tensor:
        """The product of x, [..., out], and what LoRAs add to it."""
        return out if self.extra is None else self.extra.added_to(out, x)

    def _product(self, x: Tensor) -> Tensor:
        if self._packed is not None:
            return self._packed(x)
        if self.scale is not None:
            return product(x, self.weight, self.scale, self.bias, self.form)
        return super().forward(x)


def fused(parts: Sequence[Linear]) -> Linear:
    """One layer that gives side by side what several give of the same input, by one product.

    The tensors of the parts become views of its own, so that nothing is there twice.
    """
    with torch.device("meta"):
        whole = Linear(parts[0].in_features, sum(part.out_features for part in parts))
    _share(whole, parts, "weight", lambda view: nn.Parameter(view, requires_grad=False))
    _share(whole, parts, "bias", lambda view: nn.Parameter(view, requires_grad=False))
    whole.form = parts[0].form
    if parts[0].scale is not None:
        _share(whole, parts, "scale", lambda view: view)
    return whole


def _share(whole: Linear, parts: Sequence[Linear], name: str, kept: Callable[[Tensor], Tensor]) -> None:
    """Give the whole a tensor that is the parts' joined, and each part its piece of that."""
    joined = _joined([getattr(part, name) for part in parts])
    pieces = joined.split_with_sizes([part.out_features for part in parts])
    for layer, tensor in zip((whole, *parts), (joined, *pieces), strict=True):
        setattr(layer, name, kept(tensor))


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the first dimension. As bytes: not every device joins every small type."""
    dtype = tensors[0].dtype
    if dtype.itemsize > 1:
        return torch.cat([tensor.detach() for tensor in tensors])
    return torch.cat([tensor.detach().view(torch.uint8) for tensor in tensors]).view(dtype)


class Mlp(nn.Sequential):
    """Linear, GELU (tanh), linear; its parameters are `0` and `2`, as in Wan's files."""

    def __init__(self, dim_in: int, dim: int, dim_out: int) -> None:
        super().__init__(Linear(dim_in, dim), nn.GELU("tanh"), Linear(dim, dim_out))

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim_in] → [..., dim_out]."""
        first, last = cast(Linear, self[0]), cast(Linear, self[2])
        return last(first.forward_gelu(x))  # type: ignore[no-any-return]
