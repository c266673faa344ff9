"""LoRAs of a denoiser that is running: they come, go and change their weights; the base is never loaded anew.

A layer whose product is big keeps its LoRAs beside its weight (`dit/lowrank.py`), all active ones as one pair
of matrices with their weights folded in. What is small (norms, biases, modulation, the layers that see a
chunk once) gets the sum of the differences, and its own values back, bit by bit, when there are none.

In two steps: `read` does all that is slow or can fail, on any thread, and changes nothing; `use` only copies,
between two chunks. As long as each layer's matrices fit in the buffers that it has, nothing moves, and CUDA
graphs stay valid; without LoRAs the layers are as if there had never been any, while the buffers wait for the
next. More rank than ever before means new buffers, and a new recording of graphs (`CausalDiT.launches`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limner.engine.dit.linear import Linear
from limner.engine.dit.lowrank import LowRank
from limner.engine.dit.model import CausalDiT
from limner.engine.errors import WeightsError
from limner.engine.files import LoraShare
from limner.engine.wan.lora_file import Lora, Pair, read_lora

RANK_STEP = 16
"""Buffers have a multiple of this rank, so that LoRAs of about one rank share them."""
MOST_DIFFERENCE_RANK = 256
"""A whole difference of a big layer's weight becomes a pair if one of its sides is not wider than this."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """LoRAs ready for `LoraPart.use`: on the host, in the denoiser's type, page-locked where that helps."""

    pairs: Mapping[str, tuple[Tensor, Tensor]]
    """By the layer: A [R, K] and B [N, R] of all LoRAs together."""
    values: Mapping[str, Tensor]
    """By the parameter: what it is with all LoRAs."""


@dataclass(frozen=True, kw_only=True)
class ReadLora:
    """A LoRA as it was read, and how much of it."""

    lora: Lora
    weight: float


class LoraPart:
    """What LoRAs change in one module: of a denoiser, what is in memory, or a block of it.

    Make it when the module is final: loaded, on its device, packed.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype, path: str = "") -> None:
        """`dtype`: what it computes in; `path`: of the module in the denoiser, empty for the denoiser."""
        prefix = f"{path}." if path else ""
        self._dtype = dtype
        self._parameters = {
            prefix + name: parameter for name, parameter in module.named_parameters() if not parameter.is_meta
        }
        self._layers = {
            prefix + name: layer
            for name, layer in module.named_modules()
            if isinstance(layer, Linear) and not layer.bias.is_meta  # A packed weight is not in its place.
        }
        self._buffers: dict[str, LowRank] = {}
        self._base: dict[str, Tensor] = {}
        """Values without LoRAs, on the host, of the parameters that ever had some."""
        self._changed: set[str] = set()
        """Parameters that have other values now."""
        self._laid_out = 0
        """How often buffers were made: each time, graphs are of another kind."""
        self._is_on = False

    @property
    def launches(self) -> int:
        """Another number when a forward is made of other products, or they lie elsewhere."""
        return self._laid_out if self._is_on else 0

    def prepared(self, loras: Sequence[ReadLora]) -> Prepared:
        """What LoRAs come to in this module. Changes nothing that anyone sees.

        Raises WeightsError, naming file and key, when one is not for this denoiser.
        """
        slim: dict[str, list[Pair]] = {}
        sums: dict[str, Tensor] = {}
        for read in loras:
            for layer, pair in read.lora.pairs.items():
                weighted = Pair(down_RK=pair.down_RK, up_NR=pair.up_NR, scale=pair.scale * read.weight)
                if layer in self._layers:
                    slim.setdefault(layer, []).append(weighted)
                elif (name := f"{layer}.weight") in self._parameters:
                    self._add(sums, name, _product(weighted))
            for name, difference in read.lora.differences.items():
                if (layer := name.removesuffix(".weight")) in self._layers:
                    slim.setdefault(layer, []).append(_as_pair(read.lora, layer, difference, read.weight))
                elif name in self._parameters:
                    self._add(sums, name, difference.float() * read.weight)
        dtype, pinned = self._dtype, self._is_pinned
        values = {name: total.to(self._parameters[name].dtype) for name, total in sums.items()}
        return Prepared(
            pairs={layer: _packed(pairs, dtype, pinned) for layer, pairs in slim.items()},
            values={name: _locked(value, pinned) for name, value in values.items()},
        )

    @torch.no_grad()
    def use(self, prepared: Prepared) -> None:
        """Put these LoRAs, and no others, in force. While nobody computes: between two chunks."""
        is_on = bool(prepared.pairs)
        for layer, (a_RK, _) in prepared.pairs.items():
            self._make_room(layer, len(a_RK))  # For all, before anything changes: memory may not suffice.
        for layer, buffer in self._buffers.items():
            if layer in prepared.pairs:
                buffer.fill(*prepared.pairs[layer])
            else:
                buffer.clear()
            self._layers[layer].extra = buffer if is_on else None
        for name in self._changed - prepared.values.keys():
            self._parameters[name].copy_(self._base[name], non_blocking=True)
        for name, value in prepared.values.items():
            self._parameters[name].copy_(value, non_blocking=True)
        self._changed, self._is_on = set(prepared.values), is_on

    def _add(self, sums: dict[str, Tensor], name: str, difference: Tensor) -> None:
        """Add to what a parameter will be."""
        if name not in self._base:
            self._base[name] = self._parameters[name].detach().cpu().clone()
        base = self._base[name].float() if name not in sums else sums[name]
        sums[name] = base + difference.view(base.shape)

    def _make_room(self, layer: str, rank: int) -> None:
        buffer, linear = self._buffers.get(layer), self._layers[layer]
        if buffer is None or buffer.rank < rank:
            self._buffers[layer] = LowRank(
                linear.in_features,
                linear.out_features,
                -(-rank // RANK_STEP) * RANK_STEP,
                dtype=self._dtype,
                device=linear.bias.device,
            )
            self._laid_out += 1

    @property
    def _is_pinned(self) -> bool:
        return any(parameter.is_cuda for parameter in self._parameters.values())


class LoraSwitch:
    """The LoRAs of one denoiser that is in memory as a whole. Make it when that is final."""

    def __init__(self, dit: CausalDiT) -> None:
        self._dit, self._shapes = dit, shapes_of(dit)
        self._part = LoraPart(dit, dit.dtype)

    def read(self, shares: Sequence[LoraShare]) -> Prepared:
        """Read and check LoRAs, and compute what they come to. Changes nothing that anyone sees.

        Raises WeightsError, naming file and key, when a file is no LoRA for this denoiser.
        """
        return self._part.prepared(read_shares(shares, self._shapes))

    def use(self, prepared: Prepared) -> None:
        """Put these LoRAs, and no others, in force. While nobody computes: between two chunks."""
        self._part.use(prepared)
        self._dit.revision += 1
        self._dit.launches = self._part.launches


def shapes_of(dit: CausalDiT) -> Mapping[str, tuple[int, ...]]:
    """Of a denoiser's parameters, in memory or not."""
    return {name: tuple(parameter.shape) for name, parameter in dit.named_parameters()}


def read_shares(shares: Sequence[LoraShare], shapes: Mapping[str, tuple[int, ...]]) -> list[ReadLora]:
    """Read LoRAs for a denoiser of these shapes; WeightsError, naming file and key, when one is not."""
    return [ReadLora(lora=read_lora(share.path, shapes), weight=share.weight) for share in shares]


def _packed(pairs: Sequence[Pair], dtype: torch.dtype, pinned: bool) -> tuple[Tensor, Tensor]:
    a_RK = torch.cat([pair.down_RK.to(dtype) for pair in pairs])
    b_NR = torch.cat([(pair.up_NR.float() * pair.scale).to(dtype) for pair in pairs], dim=1)
    return _locked(a_RK, pinned), _locked(b_NR, pinned)


def _locked(tensor: Tensor, pinned: bool) -> Tensor:
    return tensor.pin_memory() if pinned else tensor


def _product(pair: Pair) -> Tensor:
    return (pair.up_NR.float() @ pair.down_RK.float()) * pair.scale


def _as_pair(lora: Lora, layer: str, difference: Tensor, weight: float) -> Pair:
    """A whole difference as a pair: itself and the identity, on its narrow side."""
    dim_out, dim_in = difference.shape
    if min(dim_out, dim_in) > MOST_DIFFERENCE_RANK:
        raise WeightsError(
            f"{lora.source}: {lora.spelled[f'{layer}.weight']} is a whole difference of {dim_out}x{dim_in}"
            " numbers, as big as the layer; merge it into the model's weights, or fetch it as a LoRA"
        )
    if dim_out < dim_in:
        return Pair(down_RK=difference, up_NR=torch.eye(dim_out), scale=weight)
    return Pair(down_RK=torch.eye(dim_in), up_NR=difference, scale=weight)
