"""LoRA files in the spellings that users have, for a denoiser whose shapes are given.

A layer of a LoRA is two slim matrices, down and up: what it adds to a weight is up · down · alpha / rank.
Some files have whole differences besides, of biases and of small tensors such as norms.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from limner.engine.errors import WeightsError
from limner.engine.wan.keys import from_diffusers, to_diffusers
from limner.engine.weights_file import read_file, read_metadata

Role = Literal["down", "up", "alpha", "diff", "diff_b"]

_SUFFIXES: Mapping[str, Role] = {
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_B.bias": "diff_b",
    ".alpha": "alpha",
    ".diff_b": "diff_b",
    ".diff": "diff",
}
_OTHERS = (".hada_", ".lokr_", ".dora_scale", ".lora_magnitude_vector", ".oft_", ".w_norm", ".b_norm")
"""Of relatives of LoRA, which are other mathematics."""
_PREFIXES = ("base_model.model.", "pipe.dit.", "model.", "diffusion_model.", "transformer.", "unet.")
_KOHYA = ("lora_unet_", "lora_transformer_")
"""Before names whose dots have become underscores."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What a LoRA adds to one layer, as float32 or less, on the CPU: views of the file."""

    down_RK: Tensor
    up_NR: Tensor
    scale: float
    """alpha / rank, 1 where the file has no alpha."""


@dataclass(frozen=True, kw_only=True)
class Lora:
    """One LoRA, by our names."""

    source: str
    """Its file, for errors."""
    pairs: Mapping[str, Pair]
    """By the name of the layer."""
    differences: Mapping[str, Tensor]
    """By the name of the parameter."""
    spelled: Mapping[str, str]
    """Layer or parameter → a key of the file that means it, for errors."""


def read_lora(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Lora:
    """Read a LoRA for a denoiser with parameters of these shapes, by Wan's names.

    Raises WeightsError, naming file and key, when a key is unknown, lacks its other half, or does not fit.
    """
    source = str(path)
    find = _finder(shapes)
    found: dict[str, dict[Role, tuple[str, Tensor]]] = {}
    for key, tensor in read_file(path).items():
        place, role = _place(source, key, find)
        if role in found.setdefault(place, {}):
            raise WeightsError(f"{source}: {key} is there twice, under another name too; fetch another file")
        found[place][role] = (key, tensor)
    if not found:
        raise WeightsError(f"{source}: holds no tensors; fetch it again")
    fallback = _scale_of_file(path)
    pairs, differences, spelled = {}, {}, {}
    for place, roles in found.items():
        if roles.keys() & {"down", "up", "alpha"}:
            pairs[place] = _pair(source, place, roles, shapes.get(f"{place}.weight", ()), fallback)
            spelled[place] = roles["down"][0]
        for role, leaf in (("diff", "weight"), ("diff_b", "bias")):
            if role in roles:
                key, tensor = roles[role]
                name = place if place in shapes else f"{place}.{leaf}"
                differences[name] = _difference(source, key, tensor, shapes.get(name))
                spelled[name] = key
    return Lora(source=source, pairs=pairs, differences=differences, spelled=spelled)


def _place(source: str, key: str, find: Callable[[str], str | None]) -> tuple[str, Role]:
    """Which layer (or parameter that is no layer's) a key is of, and what it says of it."""
    suffix = next((suffix for suffix in _SUFFIXES if key.endswith(suffix)), None)
    if suffix is None:
        relative = any(sign in key for sign in _OTHERS)
        what = "is of a relative of LoRA (LoHa, LoKr, DoRA)" if relative else "is unknown"
        raise WeightsError(f"{source}: {key} {what}; use a LoRA for Wan 2.1's text-to-video models")
    place = find(key.removesuffix(suffix))
    if place is None:
        raise WeightsError(
            f"{source}: {key} is of a layer that this model does not have; this is a LoRA for another model"
            " (such as image-to-video, or one with more blocks)"
        )
    return place, _SUFFIXES[suffix]


def _finder(shapes: Mapping[str, tuple[int, ...]]) -> Callable[[str], str | None]:
    """From a layer as a file spells it to ours."""
    places = {name.removesuffix(".weight").removesuffix(".bias") for name in shapes}
    flat = {_flat(place): place for place in places}

    def find(spelled: str) -> str | None:
        for prefix in _KOHYA:
            if spelled.startswith(prefix):
                return flat.get(spelled.removeprefix(prefix))
        rest = _without_prefixes(spelled)
        place = from_diffusers(rest)
        return place if place in places else None

    flat |= {_flat(to_diffusers(place)): place for place in places}
    return find


def _flat(place: str) -> str:
    return place.replace(".", "_")


def _without_prefixes(name: str) -> str:
    while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), ""):
        name = name.removeprefix(prefix)
    return name


def _pair(
    source: str,
    place: str,
    roles: Mapping[Role, tuple[str, Tensor]],
    shape: tuple[int, ...],
    fallback: float,
) -> Pair:
    down_key, down_RK = _matrix(source, roles, "down")
    up_key, up_NR = _matrix(source, roles, "up")
    if len(shape) < 2:
        raise WeightsError(f"{source}: {down_key} is of a tensor that is no matrix; fetch another LoRA")
    widths = ((down_key, down_RK.shape[1], math.prod(shape[1:])), (up_key, len(up_NR), shape[0]))
    for key, has, needs in widths:
        if has != needs:
            raise WeightsError(
                f"{source}: {key} is made for a width of {has}, {place} has {needs};"
                " this is a LoRA for another size of the model"
            )
    rank = len(down_RK)
    if up_NR.shape[1] != rank or rank == 0:
        raise WeightsError(
            f"{source}: {up_key} has the rank {up_NR.shape[1]}, {down_key} {rank}; fetch the file again"
        )
    scale = _number(source, *roles["alpha"]) / rank if "alpha" in roles else fallback
    return Pair(down_RK=down_RK, up_NR=up_NR, scale=scale)


def _matrix(
    source: str, roles: Mapping[Role, tuple[str, Tensor]], role: Literal["down", "up"]
) -> tuple[str, Tensor]:
    """The key and the matrix; that of a convolution is made flat."""
    if role not in roles:
        key, _ = next(iter(roles.values()))
        raise WeightsError(f"{source}: {key} lacks its {role} matrix; fetch the file again")
    key, tensor = roles[role]
    if tensor.ndim < 2 or not tensor.is_floating_point():
        raise WeightsError(f"{source}: {key} is no matrix of numbers; fetch the file again")
    return key, tensor.flatten(1)


def _difference(source: str, key: str, tensor: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    if shape is None:
        raise WeightsError(
            f"{source}: {key} is of a tensor that this model does not have; fetch another LoRA"
        )
    if tuple(tensor.shape) != shape:
        raise WeightsError(
            f"{source}: {key} has the shape {list(tensor.shape)}, the model's is {list(shape)};"
            " this is a LoRA for another size of the model"
        )
    return tensor


def _number(source: str, key: str, tensor: Tensor) -> float:
    value = float(tensor) if tensor.numel() == 1 else float("nan")
    if not abs(value) < float("inf"):
        raise WeightsError(f"{source}: {key} is no number; fetch it again")
    return value


def _scale_of_file(path: Path) -> float:
    """alpha / rank for layers without an alpha of their own: diffusers notes it beside the tensors."""
    try:
        facts = json.loads(read_metadata(path).get("lora_adapter_metadata", "{}"))
        flat = {key.rpartition(".")[2]: value for key, value in facts.items()}
        return float(flat["lora_alpha"]) / float(flat["r"])
    except (ValueError, KeyError, AttributeError, TypeError, ZeroDivisionError):
        return 1.0
